//! How a client gets in (RFC 6143, section 7.2): freely, by VNC's own password check, or by VeNCrypt, which is TLS and
//! then a password (rfbproto, "VeNCrypt").

use super::greet::{Greeting, NONE};
use super::tls::{self, Keys};
use anyhow::{Context, Result, bail, ensure};
use des::Des;
use des::cipher::{Array, BlockCipherEncrypt, KeyInit};
use std::fmt;
use std::time::Duration;

/// Security types.
const VNC: u8 = 2;
const VENCRYPT: u8 = 19;

/// Subtypes of VeNCrypt: TLS with a certificate, and after that nothing, VNC's check, or a name and a password.
const X509_NONE: u32 = 260;
const X509_VNC: u32 = 261;
const X509_PLAIN: u32 = 262;

/// The longest password of VNC's own check, in bytes: it is the key of DES.
pub const LONGEST_OLD: usize = 8;
/// The longest name, and the longest password, of those that come by TLS.
const LONGEST: u32 = 1024;
/// Who guessed wrong waits so long.
const PENALTY: Duration = Duration::from_secs(1);

const WRONG: &str = "wrong password";

/// Who may look.
#[derive(Clone, Default)]
pub enum Door {
    /// Whoever comes this far: something else has asked who it is, or it is this machine's own people.
    #[default]
    Open,
    Locked(Lock),
}

#[derive(Clone)]
pub struct Lock {
    pub password: Option<String>,
    pub tls: Option<Keys>,
}

/// Without what nobody should read.
impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Door::Open) { "Open" } else { "Locked" })
    }
}

/// Whether it may come in, or why not, in words for the client.
pub type Verdict = Result<(), &'static str>;

impl Door {
    /// The security types that a client may choose from.
    pub fn offers(&self) -> Vec<u8> {
        vec![match self {
            Door::Locked(Lock { tls: Some(_), .. }) => VENCRYPT,
            Door::Locked(Lock { password: Some(_), .. }) => VNC,
            _ => NONE,
        }]
    }

    /// Whether RFB 3.3 has this type.
    pub fn is_old(offer: u8) -> bool {
        matches!(offer, NONE | VNC)
    }

    /// Asks a client that chose this type.
    pub fn ask<'a>(&self, mut greeting: Greeting<'a>, chosen: u8) -> Result<(Greeting<'a>, Verdict)> {
        let verdict = match (self, chosen) {
            (Door::Locked(lock), VENCRYPT) => {
                let subtype;
                (greeting, subtype) = lock.encrypt(greeting)?;
                match subtype {
                    X509_PLAIN => lock.plain(&mut greeting)?,
                    X509_VNC => lock.challenge(&mut greeting)?,
                    _ => Ok(()),
                }
            }
            (Door::Locked(lock), VNC) => lock.challenge(&mut greeting)?,
            _ => Ok(()),
        };
        if verdict.is_err() {
            greeting.pause(PENALTY)?;
        }
        Ok((greeting, verdict))
    }
}

impl Lock {
    fn subtypes(&self) -> &'static [u32] {
        match &self.password {
            None => &[X509_NONE],
            Some(password) if password.len() <= LONGEST_OLD => &[X509_PLAIN, X509_VNC],
            Some(_) => &[X509_PLAIN],
        }
    }

    /// Agrees on a subtype, and goes on under TLS.
    fn encrypt<'a>(&self, mut greeting: Greeting<'a>) -> Result<(Greeting<'a>, u32)> {
        let keys = self.tls.as_ref().context("TLS was not offered")?;
        greeting.put(&[0, 2]);
        let version = greeting.need(2)?;
        if version != [0, 2] {
            greeting.put(&[255]);
            greeting.flush()?;
            bail!("it speaks VeNCrypt {version:?}; kiln speaks 0.2");
        }
        let subtypes = self.subtypes();
        greeting.put(&[0, subtypes.len() as u8]);
        subtypes.iter().for_each(|subtype| greeting.put(&subtype.to_be_bytes()));
        let chosen = greeting.number()?;
        let offered = subtypes.contains(&chosen);
        greeting.put(&[offered.into()]);
        greeting.flush()?;
        ensure!(offered, "it chose VeNCrypt's subtype {chosen}, which was not offered");
        greeting.line = greeting.line.wrap(|wire| tls::accept(wire, keys))?;
        Ok((greeting, chosen))
    }

    /// A name, which may be any, and the password.
    fn plain(&self, greeting: &mut Greeting<'_>) -> Result<Verdict> {
        let (name, length) = (greeting.number()?, greeting.number()?);
        ensure!(name <= LONGEST && length <= LONGEST, "a name of {name} bytes and a password of {length}");
        greeting.need(name as usize)?;
        let given = greeting.need(length as usize)?;
        Ok(verdict(self.password.as_ref().is_some_and(|password| same(password.as_bytes(), &given))))
    }

    /// VNC's own check (section 7.2.2): random bytes, encrypted with the password.
    fn challenge(&self, greeting: &mut Greeting<'_>) -> Result<Verdict> {
        let mut challenge = [0; 16];
        crate::sys::random(&mut challenge).context("get random bytes")?;
        greeting.put(&challenge);
        let answer = greeting.need(challenge.len())?;
        Ok(verdict(self.password.as_ref().is_some_and(|password| same(&sealed(password, challenge), &answer))))
    }
}

fn verdict(right: bool) -> Verdict {
    if right { Ok(()) } else { Err(WRONG) }
}

/// Compares in the same time wherever they differ.
fn same(ours: &[u8], given: &[u8]) -> bool {
    ours.len() == given.len() && ours.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// Two blocks of DES. The bits of each byte of the key are in the opposite order.
pub fn sealed(password: &str, mut challenge: [u8; 16]) -> [u8; 16] {
    let mut key = [0; LONGEST_OLD];
    key.iter_mut().zip(password.bytes()).for_each(|(key, byte)| *key = byte.reverse_bits());
    let des = Des::new(&Array(key));
    for block in challenge.as_chunks_mut::<8>().0 {
        let mut sealed = Array(*block);
        des.encrypt_block(&mut sealed);
        *block = sealed.0;
    }
    challenge
}
