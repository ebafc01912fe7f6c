use super::*;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

fn exchange(said: &[u8], wrong: bool) -> (Vec<u8>, Vec<u8>) {
    let (guest, host) = UnixStream::pair().expect("sockets");
    (&guest).write_all(said).expect("say");
    guest.shutdown(Shutdown::Write).expect("end");
    let heard = converse(&host, wrong);
    drop(host);
    let mut answers = Vec::new();
    (&guest).read_to_end(&mut answers).expect("listen");
    (heard, answers)
}

#[test]
fn answers_what_it_is_asked_and_nothing_else() {
    let (heard, answers) = exchange(&expected(), false);
    assert_eq!(answers, b"ping 0\nping 1\nping 2\n");
    assert_eq!(check(&heard), Ok(()));
    assert_eq!(exchange(b"hello\nresend 7\n", false).1, b"");
    assert_eq!(exchange(b"send 9\n", true).1, b"pong 9\n");
}

#[test]
fn a_lost_a_wrong_and_an_extra_byte_are_found() {
    let right = expected();
    let (mut lost, mut wrong, mut extra) = (right.clone(), right.clone(), right.clone());
    lost.remove(100);
    wrong[4000] ^= 1;
    extra.push(b'x');
    for bad in [&lost[..], &wrong, &extra, b""] {
        assert!(check(bad).is_err());
    }
}
