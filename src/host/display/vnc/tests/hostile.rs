//! Clients that say anything.

use super::super::message::{self, Message};
use super::super::pixel::Format;
use super::{Client, Served, take};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), wide: bool) {
        if let Ok(Some((message, length))) = message::parse(&bytes, wide) {
            prop_assert!(length > 0 && length <= bytes.len());
            // What has come is not understood otherwise when more comes.
            let again = message::parse(&bytes[..length], wide).unwrap();
            prop_assert_eq!(again, Some((message, length)));
        }
    }

    #[test]
    fn any_format_is_refused_or_fits(bytes: [u8; 16], pixel: u32) {
        if let Ok(format) = Format::parse(&bytes) {
            let mut pixels = [pixel];
            format.translate(&mut pixels);
            prop_assert!(bytes[0] == 32 || pixels[0] >> bytes[0] == 0);
            for layout in [format.plain(), format.compact(), format.tight()] {
                let mut out = Vec::new();
                layout.put(&pixels, &mut out);
                prop_assert_eq!(out.len(), layout.bytes());
            }
        }
    }
}

/// What a client may say, with anything in it.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..40);
    let kind = prop_oneof![Just(0u8), Just(2), Just(3), Just(4), Just(5), Just(6), Just(150), Just(248), Just(251), any::<u8>()];
    prop_oneof![
        (kind, body).prop_map(|(kind, mut body)| {
            body.insert(0, kind);
            body
        }),
        prop::collection::vec(prop_oneof![Just(-308i32), Just(-224), Just(7), Just(16), Just(-313), any::<i32>()], 0..20).prop_map(
            |list| {
                let mut message = vec![2, 0, 0, list.len() as u8];
                message.extend(list.iter().flat_map(|e| e.to_be_bytes()));
                message
            }
        ),
        any::<(bool, u16, u16, u16, u16)>().prop_map(|(incremental, x, y, w, h)| {
            let mut message = vec![3, incremental.into()];
            message.extend([x, y, w, h].iter().flat_map(|n| n.to_be_bytes()));
            message
        }),
        any::<(u16, u16)>().prop_map(|(w, h)| [&[251, 0][..], &w.to_be_bytes(), &h.to_be_bytes(), &[0, 0]].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_a_client_says_it_is_served_or_shown_out(words in prop::collection::vec(word(), 0..40)) {
        let served = Served::new();
        let Client { mut stream, .. } = served.client();
        let reader = stream.try_clone().unwrap();
        // Someone takes what comes, so that all is looked at.
        let reader = std::thread::spawn(move || std::io::copy(&mut { reader }, &mut std::io::sink()));
        // It may have been shown out already.
        let _ = stream.write_all(&words.concat());
        let _ = stream.shutdown(Shutdown::Write);
        served.wait();
        drop(stream);
        let _ = reader.join();
    }

    #[test]
    fn whatever_a_client_greets_with_it_is_shown_out(bytes in prop::collection::vec(any::<u8>(), 0..40), proper: bool) {
        let served = Served::new();
        let mut stream = served.connect();
        if proper {
            let _ = stream.write_all(b"RFB 003.008\n");
        }
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        served.wait();
        prop_assert!(rest.starts_with(b"RFB 003.008\n"));
    }
}

#[test]
fn what_does_not_read_gets_no_more_than_a_little() {
    let served = Served::new();
    let mut client = served.client();
    client.encodings(&[-312, -313]);
    // Continuous updates of everything, none of which is taken.
    client.send(&[150, 1, 0, 0, 0, 0, 1, 0x40, 0, 0xf0]);
    let fence = [248, 0, 0, 0, 0x80, 0, 0, 0, 64].into_iter().chain([7; 64]).collect::<Vec<u8>>();
    client.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // The server stops listening to one that does not listen.
    while sent < 16 << 20 {
        match client.stream.write(&fence) {
            Ok(n) => sent += n,
            Err(_) => {
                std::thread::sleep(std::time::Duration::from_millis(50));
                if client.stream.write(&fence).is_err() {
                    break;
                }
            }
        }
    }
    assert!(sent < 4 << 20, "{sent} bytes were swallowed");
    // Another one is served meanwhile.
    let mut other = served.client();
    other.request(false);
    other.update();
}

#[test]
fn long_texts_are_passed_over() {
    let served = Served::new();
    let mut client = served.client();
    let length = (message::LONGEST_TEXT + 1) as u32;
    client.send(&[6, 0, 0, 0]);
    client.send(&length.to_be_bytes());
    client.send(&vec![9; length as usize]);
    client.request(false);
    client.update();
    assert_eq!(message::parse(&[6, 0, 0, 0, 0x80, 0, 0, 0], false).unwrap(), Some((Message::Skip(1 << 31), 8)));
}

#[test]
fn who_wants_a_colour_map_is_shown_out() {
    let served = Served::new();
    let mut client = served.client();
    client.send(&[0, 0, 0, 0, 8, 8, 0, 0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    assert!(served.why().contains("colour map"));
}

#[test]
fn who_asks_for_sizes_without_end_is_shown_out() {
    let served = Served::new();
    let mut client = served.client();
    for _ in 0..65 {
        client.send(&[251, 0, 1, 0, 1, 0, 0, 0]);
    }
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    assert!(served.why().contains("sizes"));
}

#[test]
fn old_versions_are_understood() {
    let served = Served::new();
    let mut stream = served.connect();
    take(&mut stream, 12);
    stream.write_all(b"RFB 003.003\n").unwrap();
    assert_eq!(take(&mut stream, 4), [0, 0, 0, 1]);
    let mut client = Client::enter(stream);
    client.request(false);
    client.update();
    let mut stream = served.connect();
    take(&mut stream, 12);
    stream.write_all(b"RFB 003.007\n").unwrap();
    assert_eq!(take(&mut stream, 2), [1, 1]);
    stream.write_all(&[1]).unwrap();
    assert_eq!(Client::enter(stream).name, "kiln");
}
