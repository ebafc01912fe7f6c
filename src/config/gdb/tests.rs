use super::*;

fn tcp(address: &str) -> Listen {
    Listen::Tcp(address.parse().unwrap())
}

#[test]
fn places_are_read_and_only_loopback_is_the_default() {
    let unix = |path: &str| Listen::Unix(PathBuf::from(path));
    for (text, at, wait) in [
        ("", tcp("127.0.0.1:1234"), true),
        ("nowait", tcp("127.0.0.1:1234"), false),
        ("tcp:0", tcp("127.0.0.1:0"), true),
        ("tcp:9,nowait", tcp("127.0.0.1:9"), false),
        ("tcp::9", tcp("127.0.0.1:9"), true),
        ("tcp:localhost:9", tcp("127.0.0.1:9"), true),
        ("tcp:0.0.0.0:9", tcp("0.0.0.0:9"), true),
        ("tcp:[::1]:9", tcp("[::1]:9"), true),
        ("tcp:::1:9", tcp("[::1]:9"), true),
        ("unix:/a,b", unix("/a,b"), true),
        ("unix:a:b,nowait", unix("a:b"), false),
        ("unix:/nowait", unix("/nowait"), true),
    ] {
        assert_eq!(text.parse(), Ok(Gdb { at, wait }), "{text}");
    }
}

#[test]
fn what_is_no_place_is_refused() {
    for text in ["1234", "tcp:", "tcp:65536", "tcp:host:1", "unix:", "udp:1", "tcp:1,wait", "tcp:1nowait", ":"] {
        assert!(text.parse::<Gdb>().unwrap_err().starts_with(&format!("`{text}`: want tcp:PORT")), "{text}");
    }
}
