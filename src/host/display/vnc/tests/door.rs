//! Who is let in, and who is not.

#[path = "../../../../../tests/display/certificate.rs"]
mod known;

use super::super::door::{Door, Lock, sealed};
use super::super::options::Spec;
use super::super::tls::Keys;
use super::{Client, Served, take};
use crate::config::Options;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn locked(password: Option<&str>, tls: Option<Keys>) -> Door {
    Door::Locked(Lock { password: password.map(Into::into), tls })
}

fn served(door: Door) -> Served {
    let mut served = Served::new();
    served.door = door;
    served
}

/// Up to the list of security types, of which there is one.
fn greeted(served: &Served, security: u8) -> UnixStream {
    let mut stream = served.connect();
    take(&mut stream, 12);
    stream.write_all(b"RFB 003.008\n").unwrap();
    assert_eq!(take(&mut stream, 2), [1, security]);
    stream.write_all(&[security]).unwrap();
    stream
}

#[test]
fn the_password_is_the_key_of_des() {
    // NIST SP 800-17, variable key known answer test: key 80 01 01.., text 0.
    let blocks = sealed("\u{1}", [0; 16]);
    assert_eq!(blocks[..8], [0x95, 0xa8, 0xd7, 0x28, 0x13, 0xda, 0xa9, 0x4d]);
    assert_eq!(blocks[..8], blocks[8..]);
}

#[test]
fn a_password_opens_and_another_does_not() {
    let served = served(locked(Some("sesame"), None));
    let mut stream = greeted(&served, 2);
    let challenge = take(&mut stream, 16).try_into().unwrap();
    stream.write_all(&sealed("sesame", challenge)).unwrap();
    assert_eq!(take(&mut stream, 4), [0; 4]);
    let mut client = Client::enter(stream);
    client.request(false);
    client.update();
    served.expect(&client);
    for wrong in ["Sesame", "", "sesame1"] {
        let mut stream = greeted(&served, 2);
        let challenge = take(&mut stream, 16).try_into().unwrap();
        stream.write_all(&sealed(wrong, challenge)).unwrap();
        assert_eq!(take(&mut stream, 8), [0, 0, 0, 1, 0, 0, 0, 14]);
        assert_eq!(take(&mut stream, 14), b"wrong password");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

/// Up to TLS, with this subtype of VeNCrypt.
fn encrypted(served: &Served, fingerprint: &str, subtype: u32) -> StreamOwned<ClientConnection, UnixStream> {
    let mut stream = greeted(served, 19);
    assert_eq!(take(&mut stream, 2), [0, 2]);
    stream.write_all(&[0, 2]).unwrap();
    assert_eq!(take(&mut stream, 1), [0]);
    let count = usize::from(take(&mut stream, 1)[0]);
    let list = take(&mut stream, count * 4);
    assert!(list.as_chunks().0.contains(&subtype.to_be_bytes()), "{list:?}");
    stream.write_all(&subtype.to_be_bytes()).unwrap();
    assert_eq!(take(&mut stream, 1), [1]);
    StreamOwned::new(known::client(fingerprint), stream)
}

#[test]
fn tls_and_a_password() {
    let keys = Keys::new().unwrap();
    let fingerprint = keys.fingerprint.clone();
    let served = served(locked(Some("open sesame!"), Some(keys)));
    for (password, right) in [("open sesame!", true), ("open sesame", false)] {
        let mut stream = encrypted(&served, &fingerprint, 262);
        let words = [&[0, 0, 0, 2, 0, 0, 0, password.len() as u8][..], b"me", password.as_bytes()].concat();
        stream.write_all(&words).unwrap();
        assert_eq!(take(&mut stream, 4), [0, 0, 0, u8::from(!right)]);
        if right {
            let mut client = Client::enter(stream);
            client.encodings(&[16]);
            for _ in 0..3 {
                client.request(false);
                client.update();
            }
            assert!(client.canvas.pixels == served.room.screen.picture().unwrap().pixels);
        }
    }
}

#[test]
fn tls_with_the_old_check_and_with_none() {
    let keys = Keys::new().unwrap();
    let fingerprint = keys.fingerprint.clone();
    let short = served(locked(Some("sesame"), Some(keys.clone())));
    let mut stream = encrypted(&short, &fingerprint, 261);
    let challenge = take(&mut stream, 16).try_into().unwrap();
    stream.write_all(&sealed("sesame", challenge)).unwrap();
    assert_eq!(take(&mut stream, 4), [0; 4]);
    let open = served(locked(None, Some(keys)));
    let mut stream = encrypted(&open, &fingerprint, 260);
    assert_eq!(take(&mut stream, 4), [0; 4]);
    Client::enter(stream).request(false);
}

#[test]
fn words_ahead_of_tls_are_not_heard() {
    let served = served(locked(None, Some(Keys::new().unwrap())));
    let mut stream = greeted(&served, 19);
    stream.write_all(&[0, 2]).unwrap();
    // The subtype, and something that is not under TLS.
    stream.write_all(&[&260u32.to_be_bytes()[..], &[1; 100]].concat()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!served.why().is_empty());
}

#[test]
fn what_is_refused_when_it_is_asked_for() {
    let door = |text: &str| Spec::parse(&Options::parse(text, Some("address")).unwrap()).and_then(|spec| spec.door());
    let refused = |text: &str| format!("{:#}", door(text).unwrap_err());
    assert!(matches!(door(""), Ok(Door::Open)) && matches!(door("unix:/x"), Ok(Door::Open)));
    assert!(matches!(door("[::1]:5900"), Ok(Door::Open)) && matches!(door("5901"), Ok(Door::Open)));
    assert!(refused("0.0.0.0").contains("password-file="));
    assert!(refused("[::]:5900,tls=off").contains("password-file="));
    assert!(refused("password=nine bytes").contains("at most 8 bytes"));
    assert!(refused("tls=on,key=/k").contains("belong together"));
    assert!(refused("certificate=/c").contains("tls=on"));
    assert!(refused("somewhere").contains("want ADDRESS"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let at = format!("192.0.2.1:5900,password-file={}", file.path().display());
    assert!(refused(&at).contains("first line is empty"));
    std::fs::write(file.path(), "open sesame!\nmore\n").unwrap();
    let Door::Locked(lock) = door(&at).unwrap() else { panic!() };
    assert_eq!(lock.password.as_deref(), Some("open sesame!"));
    assert!(lock.tls.is_some(), "on the network by itself");
    let Door::Locked(lock) = door("192.0.2.1:5900,password=short,tls=off").unwrap() else { panic!() };
    assert!(lock.tls.is_none(), "only when it is said");
    assert!(refused("127.0.0.1,tls=on,certificate=/nothing,key=/nothing").contains("/nothing"));
}
