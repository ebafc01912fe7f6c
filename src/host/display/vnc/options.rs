//! What `--display vnc` takes, and what it refuses: no screen is on a network without a password.

use super::door::{Door, LONGEST_OLD, Lock};
use super::listen::Place;
use super::tls::Keys;
use crate::config::values::{Maybe, Switch};
use crate::spec;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

spec! {
    pub struct Spec {
        /// Where viewers connect: ADDRESS, ADDRESS:PORT, PORT, or unix:PATH; without it 127.0.0.1, and the first port from 5900 on that is free
        address: Maybe<Place> = "",
        /// File whose first line is the password; needed where the address is not of this host
        password_file as "password-file": Maybe<PathBuf> = "",
        /// The password itself, which this host's users can read in the list of processes
        password: Maybe<String> = "",
        /// on or off: whether viewers have to speak TLS; without it, they have to where the address is not of this host
        tls: Maybe<Switch> = "",
        /// File in PEM with the server's certificate; without it, a new one for each run, whose fingerprint is told
        certificate: Maybe<PathBuf> = "",
        /// File in PEM with the key of that certificate
        key: Maybe<PathBuf> = "",
    }
}

impl Spec {
    pub fn place(&self) -> Place {
        self.address.0.clone().unwrap_or_default()
    }

    pub fn door(&self) -> Result<Door> {
        let place = self.place();
        let password = self.secret()?;
        let tls = self.tls.0.map_or(place.is_far(), |tls| tls.0);
        if place.is_far() && password.is_none() {
            bail!("others can reach this address: give a password by `password-file=`, or use an address of this host");
        }
        if let Some(password) = password.as_ref().filter(|p| !tls && p.len() > LONGEST_OLD) {
            let length = password.len();
            bail!("without TLS a password has at most {LONGEST_OLD} bytes, and this one has {length}: shorten it, or say tls=on");
        }
        let tls = if tls { Some(self.keys()?) } else { None };
        ensure!(tls.is_some() || self.certificate.0.is_none(), "`certificate=` is for TLS: say tls=on too");
        Ok(if password.is_none() && tls.is_none() { Door::Open } else { Door::Locked(Lock { password, tls }) })
    }

    fn secret(&self) -> Result<Option<String>> {
        let password = match (&self.password.0, &self.password_file.0) {
            (Some(_), Some(_)) => bail!("`password=` and `password-file=` are both given: one is enough"),
            (Some(password), None) => password.clone(),
            (None, Some(path)) => first_line(path)?,
            (None, None) => return Ok(None),
        };
        ensure!(password.len() <= 1024, "the password has {} bytes: at most 1024", password.len());
        Ok(Some(password))
    }

    fn keys(&self) -> Result<Keys> {
        match (&self.certificate.0, &self.key.0) {
            (None, None) => Keys::new(),
            (Some(certificate), Some(key)) => Keys::read(certificate, key),
            _ => bail!("`certificate=` and `key=` belong together: give both"),
        }
    }
}

fn first_line(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("password-file={}", path.display()))?;
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "password-file={}: its first line is empty", path.display());
    Ok(line.to_string())
}
