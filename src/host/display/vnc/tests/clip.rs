//! Text goes both ways.

use super::super::clip::Cuts;
use super::{Served, take};
use crate::host::clipboard::{Clipboard, Party};
use proptest::prelude::*;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Somebody else with the same clipboard.
fn other(clipboard: &Arc<Clipboard>) -> (Party, impl Fn() -> String) {
    let (told, heard) = mpsc::channel();
    let told = crate::sys::Lock::new(told);
    let party = clipboard.join(Arc::new(move || {
        let _ = told.lock().send(());
    }));
    let listener = clipboard.join(Arc::new(|| {}));
    let wait = move || {
        heard.recv_timeout(Duration::from_secs(60)).unwrap();
        listener.news().unwrap().to_string()
    };
    (party, wait)
}

#[test]
fn plain_cut_text_both_ways() {
    let served = Served::new();
    let (guest, wait) = other(served.room.seat.clipboard());
    let mut client = served.client();
    client.send(&[6, 0, 0, 0, 0, 0, 0, 4, b'c', b'a', b'f', 0xe9]);
    assert_eq!(wait(), "café");
    guest.put("naïve €");
    assert_eq!(take(&mut client.stream, 15), [&[3, 0, 0, 0, 0, 0, 0, 7][..], b"na\xefve ?"].concat());
}

#[test]
fn extended_clipboard_both_ways() {
    let served = Served::new();
    let (guest, wait) = other(served.room.seat.clipboard());
    let mut client = served.client();
    client.encodings(&[0xc0a1_e5ceu32.cast_signed()]);
    assert_eq!(take(&mut client.stream, 16)[8..12], [0x1f, 0, 0, 1]);
    guest.put("a €\nb");
    assert_eq!(take(&mut client.stream, 12), [3, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 0x08, 0, 0, 1]);
    // It is asked for, and then it comes.
    client.send(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 0x02, 0, 0, 1]);
    let head = take(&mut client.stream, 8);
    let length = i32::from_be_bytes(head[4..].try_into().unwrap()).unsigned_abs() as usize;
    let message = take(&mut client.stream, length);
    assert_eq!(message[..4], [0x10, 0, 0, 1]);
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&message[4..]), &mut whole).unwrap();
    assert_eq!(whole, [&[0, 0, 0, 9][..], "a €\r\nb\0".as_bytes()].concat());
    // The client has something: it is asked for it, and gives what it was given.
    client.send(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 0x08, 0, 0, 1]);
    assert_eq!(take(&mut client.stream, 12)[8..], [0x02, 0, 0, 1]);
    let text = "zwei\r\nZeilen\0";
    let mut packed = Vec::new();
    let whole = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let mut encoder = flate2::read::ZlibEncoder::new(&whole[..], flate2::Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    let message = [&[0x10, 0, 0, 1][..], &packed].concat();
    client.send(&[&[6, 0, 0, 0][..], &(message.len() as u32).wrapping_neg().to_be_bytes(), &message].concat());
    assert_eq!(wait(), "zwei\nZeilen");
}

proptest! {
    #[test]
    fn any_extended_message_is_borne(mut message in prop::collection::vec(any::<u8>(), 0..64), action in 24u32..29, known: bool) {
        let clipboard = Arc::<Clipboard>::default();
        let mut cuts = Cuts::new(&clipboard).unwrap();
        if known && message.len() >= 4 {
            message[..4].copy_from_slice(&(1u32 << action | 1).to_be_bytes());
        }
        let mut out = Vec::new();
        cuts.hear(&message, &mut out);
        prop_assert!(out.len() < 100);
    }
}

#[test]
fn what_unpacks_to_too_much_is_not_kept() {
    let clipboard = Arc::<Clipboard>::default();
    let (_, listener) = (clipboard.join(Arc::new(|| {})), clipboard.join(Arc::new(|| {})));
    let mut whole = (64u32 << 20).to_be_bytes().to_vec();
    whole.resize(64 << 20, b'a');
    let mut packed = vec![0x10, 0, 0, 1];
    let mut encoder = flate2::read::ZlibEncoder::new(&whole[..], flate2::Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    Cuts::new(&clipboard).unwrap().hear(&packed, &mut Vec::new());
    assert_eq!(listener.news(), None);
}
