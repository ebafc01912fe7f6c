//! A certificate of our own (RFC 5280), signed by itself: who trusts it has compared its fingerprint.

use anyhow::{Result, anyhow};
use graviola::hashing::{Hash, Sha256};
use graviola::signing::ecdsa::{P256, SigningKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Longer than a key, a signature or a fingerprint of P-256 and SHA-256 in DER.
const ROOM: usize = 256;

/// Tags of DER (X.690, section 8).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const TEXT: u8 = 0x0c;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// [0], explicit.
const VERSION: u8 = 0xa0;

/// ecdsa-with-SHA256 (1.2.840.10045.4.3.2), and commonName (2.5.4.3).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A new key for P-256, and its certificate, which is valid for as long as dates can say: a guest may run for long, and
/// clocks differ (RFC 5280, section 4.1.2.5).
pub fn make() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let failed = |e: graviola::Error| anyhow!("make a key: {e:?}");
    let key = SigningKey::<P256>::generate().map_err(failed)?;
    let (mut public, mut secret, mut signature) = ([0; ROOM], [0; ROOM], [0; ROOM]);
    let public = key.to_spki_der(&mut public).map_err(failed)?;
    let secret = key.to_pkcs8_der(&mut secret).map_err(failed)?;
    let mut serial = [0; 8];
    crate::sys::random(&mut serial)?;
    // Positive, and not shorter than it looks.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let algorithm = der(SEQUENCE, &[&der(OBJECT, &[ECDSA_SHA256])]);
    let name = der(SEQUENCE, &[&der(OBJECT, &[COMMON_NAME]), &der(TEXT, &[b"kiln"])]);
    let name = der(SEQUENCE, &[&der(SET, &[&name])]);
    let valid = der(SEQUENCE, &[&der(TIME, &[b"20200101000000Z"]), &der(TIME, &[b"99991231235959Z"])]);
    let version = der(VERSION, &[&der(INTEGER, &[&[2]])]);
    let signed = der(SEQUENCE, &[&version, &der(INTEGER, &[&serial]), &algorithm, &name, &valid, &name, public]);
    let signature = key.sign_asn1::<Sha256>(&[&signed], &mut signature).map_err(failed)?;
    let certificate = der(SEQUENCE, &[&signed, &algorithm, &der(BIT_STRING, &[&[0], signature])]);
    Ok((certificate.into(), PrivatePkcs8KeyDer::from(secret.to_vec()).into()))
}

/// SHA-256.
pub fn fingerprint(certificate: &[u8]) -> Vec<u8> {
    Sha256::hash(certificate).as_ref().to_vec()
}

/// A tag, the length and the parts, of less than 64 KiB together.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>() as u16;
    let [high, low] = length.to_be_bytes();
    let head: &[u8] = match length {
        ..0x80 => &[tag, low],
        0x80..0x100 => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &parts.concat()].concat()
}
