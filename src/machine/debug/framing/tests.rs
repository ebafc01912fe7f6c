use super::*;

fn all(bytes: &[u8]) -> Result<(), &'static str> {
    let mut framing = Framing::default();
    bytes.iter().try_for_each(|b| framing.byte(*b))
}

#[test]
fn what_gdb_says_passes() {
    for good in [
        &b"+$qSupported:multiprocess+#c6"[..],
        b"$m0,800#00\x03$g#67",
        b"$m4000,4000#00",
        b"$mffffffffffffbfff,4000#00",
        b"$X1000,3:\x7d\x03ab#00",
        b"$#00",
        b"",
    ] {
        assert_eq!(all(good), Ok(()), "{}", good.escape_ascii());
    }
    let long = [&b"$"[..], &vec![b'a'; LONGEST - 4], b"#00"].concat();
    assert_eq!(all(&long), Ok(()));
}

#[test]
fn what_is_no_debugger_or_no_good_does_not() {
    let long = [&b"$"[..], &vec![b'a'; LONGEST - 3]].concat();
    for bad in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"-",
        b"+$g#67x",
        b"$m0,4001#",
        b"$m0,ffffffffffffffff#",
        b"$mfffffffffffffff0,11#",
        b"$m0,11111111111111111#",
        b"$m0#",
        b"$m0,1,1#",
        b"$m,#",
        b"$m\xff,1#",
        &long,
    ] {
        assert!(all(bad).is_err(), "{}", bad.escape_ascii());
    }
}
