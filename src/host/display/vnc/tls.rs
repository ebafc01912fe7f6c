//! TLS around a wire, by rustls.

use super::Wire;
use super::certificate;
use anyhow::{Context, Result, bail, ensure};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use rustls_graviola::kx;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// The server's certificate and what belongs to it.
#[derive(Clone)]
pub struct Keys {
    config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as viewers show it.
    pub fingerprint: String,
}

impl Keys {
    /// Of this run alone.
    pub fn new() -> Result<Keys> {
        able()?;
        let (certificate, key) = certificate::make()?;
        Keys::of(vec![certificate], key)
    }

    /// From files in PEM: the certificate, with those that vouch for it, and its key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Keys> {
        able()?;
        let name = || certificate.display().to_string();
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.with_context(name)?;
        ensure!(!chain.is_empty(), "{}: there is no certificate in it", name());
        let secret = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
        Keys::of(chain, secret).with_context(|| format!("{} and {}", name(), key.display()))
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Keys> {
        let fingerprint = chain.first().map(|first| certificate::fingerprint(first)).unwrap_or_default();
        let fingerprint = fingerprint.iter().fold(String::new(), |mut text, byte| {
            let colon = if text.is_empty() { "" } else { ":" };
            let _ = write!(text, "{colon}{byte:02X}");
            text
        });
        let config = ServerConfig::builder_with_provider(provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Keys { config: config.into(), fingerprint })
    }
}

/// What a server needs whose clients show no certificates; the rest would be a tenth of the binary. Every client knows P-256 or X25519
/// (RFC 8446, 9.1; RFC 8422, 5.1.1), so P-384 is left out.
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![kx::X25519MLKEM768, &kx::X25519, &kx::P256],
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        ..rustls_graviola::default_provider()
    }
}

/// graviola uses these instructions without another way; all processors since 2015 have them.
fn able() -> Result<()> {
    let has = [
        ("adx", std::is_x86_feature_detected!("adx")),
        ("aes", std::is_x86_feature_detected!("aes")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi1", std::is_x86_feature_detected!("bmi1")),
        ("pclmulqdq", std::is_x86_feature_detected!("pclmulqdq")),
    ];
    match has.iter().find(|(_, has)| !has) {
        Some((name, _)) => bail!("TLS needs a processor with {name}: use a unix socket or an address of this host"),
        None => Ok(()),
    }
}

/// Begins the handshake, which goes on with the first reads.
pub fn accept(wire: Box<dyn Wire>, keys: &Keys) -> Result<Box<dyn Wire>> {
    let tls = ServerConnection::new(keys.config.clone()).context("begin TLS")?;
    Ok(Box::new(Tls { tls, wire }))
}

struct Tls {
    tls: ServerConnection,
    wire: Box<dyn Wire>,
}

/// A wire for rustls.
struct Below<'a>(&'a mut dyn Wire);

impl Read for Below<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Below<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Tls {
    fn fd(&self) -> BorrowedFd<'_> {
        self.wire.fd()
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.tls.reader().read(buf) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
        if self.tls.read_tls(&mut Below(&mut *self.wire))? == 0 {
            return Ok(0);
        }
        if let Err(e) = self.tls.process_new_packets() {
            // The peer is told why, if it listens.
            let _ = self.flush();
            return Err(io::Error::new(ErrorKind::InvalidData, e));
        }
        match self.tls.reader().read(buf) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(ErrorKind::Interrupted.into()),
            done => done,
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // rustls keeps what the wire did not take: no more until it does.
        self.flush()?;
        self.tls.writer().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Below(&mut *self.wire))?;
        }
        self.wire.flush()
    }

    fn near(&self) -> bool {
        self.wire.near()
    }
}
