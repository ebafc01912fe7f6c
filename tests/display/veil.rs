//! TLS as clients of VNC have it (rfbproto, "VeNCrypt"), for our own client.

use crate::rfb::{Client, Wire, broken, greet};
use graviola::hashing::{Hash, Sha256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// VeNCrypt, and its subtype with a certificate, a name and a password.
const VENCRYPT: u8 = 19;
const X509_PLAIN: u32 = 262;

/// Comes to `address` by TLS, from a server whose certificate has this fingerprint, and gives the password.
pub fn open(address: &str, fingerprint: &str, password: &str, encodings: &[i32]) -> io::Result<Client> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    if greet(&mut stream)? != [VENCRYPT] {
        return Err(broken("something else than TLS is offered"));
    }
    stream.write_all(&[VENCRYPT])?;
    let mut version = [0; 2];
    stream.read_exact(&mut version)?;
    stream.write_all(&version)?;
    let mut agreed = [0; 2];
    stream.read_exact(&mut agreed)?;
    let mut subtypes = vec![0; usize::from(agreed[1]) * 4];
    stream.read_exact(&mut subtypes)?;
    if (version, agreed[0]) != ([0, 2], 0) || !subtypes.as_chunks().0.contains(&X509_PLAIN.to_be_bytes()) {
        return Err(broken("another VeNCrypt"));
    }
    stream.write_all(&X509_PLAIN.to_be_bytes())?;
    let mut taken = [0];
    stream.read_exact(&mut taken)?;
    let mut tls = Tls(Arc::new(Mutex::new(rustls::StreamOwned::new(client(fingerprint), stream))));
    let lengths = [4u32, password.len() as u32].map(u32::to_be_bytes).concat();
    tls.write_all(&[&lengths[..], b"user", password.as_bytes()].concat())?;
    Client::enter(Box::new(tls), encodings)
}

fn client(fingerprint: &str) -> ClientConnection {
    let provider = Arc::new(rustls_graviola::default_provider());
    let only = Only(fingerprint.into(), provider.clone());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(only)).with_no_client_auth();
    ClientConnection::new(config.into(), ServerName::try_from("kiln").unwrap()).unwrap()
}

/// Both ends of a client have it, and use it one after the other.
struct Tls(Arc<Mutex<rustls::StreamOwned<ClientConnection, TcpStream>>>);

impl Read for Tls {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap().read(to)
    }
}

impl Write for Tls {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(from)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

impl Wire for Tls {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.0.lock().unwrap().sock.set_read_timeout(Some(time))
    }
    fn set_write_patience(&self, time: Duration) -> io::Result<()> {
        self.0.lock().unwrap().sock.set_write_timeout(Some(time))
    }
    fn twin(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(Tls(self.0.clone())))
    }
}

/// Knows a server by the fingerprint that a person was told, as a viewer does.
#[derive(Debug)]
struct Only(String, Arc<CryptoProvider>);

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = Sha256::hash(certificate);
        let text: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        if text.join(":") != self.0 {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.1.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.1.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}
