//! TLS as clients of VNC have it (rfbproto, "VeNCrypt"), for our own client.

use crate::certificate::client;
use crate::rfb::{Client, Wire, broken, greet};
use rustls::ClientConnection;
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
