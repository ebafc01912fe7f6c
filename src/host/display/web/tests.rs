use super::gate::{Entry, Gate};
use super::*;
use crate::host::http::Request;
use crate::host::screen::Screen;
use crate::host::seat::Seat;
use proptest::prelude::*;
use std::net::TcpStream;

#[path = "../../../../tests/display/browser.rs"]
mod browser;
mod carrier;
mod listen;
mod page;
mod sound;

fn room() -> Room {
    Room { screen: Screen::new(), seat: Seat::new(), sound: Arc::default() }
}

fn web() -> Web {
    Web::open(Place::default().0, &room(), true).unwrap()
}

/// The address and the token of its link.
fn parts(web: &Web) -> (String, String) {
    let link = web.link().unwrap();
    let rest = link.strip_prefix("http://").unwrap();
    let (address, token) = rest.split_once("/?token=").unwrap();
    (address.to_string(), token.to_string())
}

/// A request to `path` with these further fields: the whole response.
fn get(address: &str, path: &str, fields: &str) -> String {
    use std::io::Read;
    let mut stream = TcpStream::connect(address).unwrap();
    let host = if fields.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n").unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    String::from_utf8(back).unwrap()
}

fn status(response: &str) -> u16 {
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

/// What the browser sends back of a Set-Cookie.
fn cookie(response: &str) -> String {
    let set = response.lines().find_map(|l| l.strip_prefix("Set-Cookie: ")).unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    format!("Cookie: other=1; {}\r\n", set.split(';').next().unwrap())
}

#[test]
fn a_link_works_once_and_for_one_browser() {
    let web = web();
    let (address, token) = parts(&web);
    assert_eq!(token.len(), 32);
    for path in ["/", "/page.js", "/novnc/core/rfb.js", "/screen", "/alive", "/?token=", "/?token=0"] {
        assert_eq!(status(&get(&address, path, "")), 403, "{path}");
    }
    // The token is for the page, and for nothing else.
    assert_eq!(status(&get(&address, &format!("/page.js?token={token}"), "")), 403);
    let first = get(&address, &format!("/?token={token}"), "");
    assert_eq!(status(&first), 200);
    let cookie = cookie(&first);
    assert_eq!(status(&get(&address, &format!("/?token={token}"), "")), 403);
    for (path, want) in [("/", 200), ("/page.js", 200), ("/page.css", 200), ("/novnc/core/rfb.js", 200)] {
        assert_eq!(status(&get(&address, path, &cookie)), want, "{path}");
    }
    for (path, want) in [("/nothing", 404), ("/novnc/../page.js", 404), ("/alive", 204), ("/screen", 426)] {
        assert_eq!(status(&get(&address, path, &cookie)), want, "{path}");
    }
    // It is well for whoever uses the link again with the cookie.
    assert_eq!(status(&get(&address, &format!("/?token={token}"), &cookie)), 200);
}

#[test]
fn a_new_link_takes_the_place_of_one_that_was_not_used() {
    let web = web();
    let (address, first) = parts(&web);
    let entrance = web.entrance();
    assert_eq!(entrance.address, Some(format!("http://{address}/")));
    let open = |link: &str| get(&address, link.strip_prefix(&format!("http://{address}")).unwrap(), "");
    let second = entrance.link.as_ref().unwrap()().unwrap();
    assert_eq!(status(&get(&address, &format!("/?token={first}"), "")), 403, "the first link");
    let inside = cookie(&open(&second));
    let third = entrance.link.unwrap()().unwrap();
    assert_eq!(status(&get(&address, "/alive", &inside)), 204, "who is in stays");
    assert_eq!(status(&open(&second)), 403, "the link that was used");
    let other = cookie(&open(&third));
    for cookie in [inside, other] {
        assert_eq!(status(&get(&address, "/alive", &cookie)), 204);
    }
}

#[test]
fn other_pages_and_other_names_are_kept_out() {
    let web = web();
    let (address, token) = parts(&web);
    let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
    let with = |fields: &str| status(&get(&address, "/alive", &format!("{cookie}{fields}")));
    for host in ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
        assert_eq!(with(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    for host in ["localhost", "localhost:9", "[::1]:80", "10.0.0.1:80"] {
        assert_eq!(with(&format!("Host: {host}\r\n")), 204, "{host}");
    }
    assert_eq!(with("Origin: http://evil.example\r\n"), 403);
    assert_eq!(with("Origin: null\r\n"), 403);
    assert_eq!(with(&format!("Origin: http://{address}\r\nOrigin: http://{address}\r\n")), 403);
    assert_eq!(with(&format!("Origin: http://{address}\r\n")), 204);
    // A browser says where a WebSocket comes from.
    assert_eq!(with("Upgrade: websocket\r\n"), 403);
}

#[test]
fn the_page_is_guarded() {
    let web = web();
    let (address, token) = parts(&web);
    for response in [get(&address, "/", ""), get(&address, &format!("/?token={token}"), "")] {
        for field in ["Content-Security-Policy: default-src 'none'", "Referrer-Policy: no-referrer", "Cache-Control: no-store"] {
            assert!(response.contains(field), "{response}");
        }
    }
}

#[test]
fn wrong_tokens_keep_nobody_out() {
    let gate = Gate::new(80);
    let token = gate.renew().unwrap();
    let ask = |token: &str| gate.entry(&Request::for_test("GET", "/", &format!("token={token}"), &[("Host", "[::1]")]));
    for n in 0..1000 {
        assert!(matches!(ask(&format!("{n:032x}")), Entry::No(_)));
        assert!(matches!(ask(token.get(..n % 32).unwrap()), Entry::No(_)));
    }
    assert!(matches!(ask(&token), Entry::New(_)));
    assert!(matches!(ask(&token), Entry::No(_)));
}

#[test]
fn the_page_is_for_this_host_alone_unless_that_is_said() {
    let open = |text: &str| (KIND.open)(&crate::config::Options::parse(text, KIND.positional()).unwrap(), &room());
    let error = open("0.0.0.0").err().unwrap();
    assert!(format!("{error:#}").contains("plain=on"), "{error:#}");
    assert!(open("0.0.0.0,plain=on").is_ok());
    for (text, want) in [("[::1]:80", "[::1]:80"), ("::1", "[::1]:0"), ("81", "127.0.0.1:81"), ("10.1.2.3:4", "10.1.2.3:4")] {
        assert_eq!(text.parse(), Ok(Place(want.parse().unwrap())));
    }
    assert!("host:80".parse::<Place>().is_err());
}

#[test]
fn novnc_is_all_there() {
    let files = archive::open().unwrap();
    for name in ["core/rfb.js", "core/display.js", "vendor/pako/lib/zlib/inflate.js", "LICENSE.txt"] {
        assert!(files.get(name).is_some_and(|f| f.len() > 500), "{name}");
    }
}

#[test]
fn a_connection_at_the_end_is_told_why() {
    let web = web();
    let (address, token) = parts(&web);
    let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
    let mut browser = carrier::browser(&address, &cookie);
    assert_eq!(browser.read().unwrap(), tungstenite::Message::binary(&b"RFB 003.008\n"[..]));
    let end = std::thread::spawn(move || drop(web));
    let tungstenite::Message::Close(Some(frame)) = browser.read().unwrap() else { panic!("no farewell") };
    assert_eq!(u16::from(frame.code), 4000);
    // Answers.
    let _ = browser.read();
    end.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn places_in_front_of_the_screen_are_limited() {
    let web = web();
    let (address, token) = parts(&web);
    let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
    let mut all: Vec<_> = (0..16).map(|_| carrier::browser(&address, &cookie)).collect();
    all.iter_mut().for_each(|b| assert!(b.read().is_ok()));
    assert_eq!(status(&get(&address, "/alive", &cookie)), 503);
    assert_eq!(status(&get(&address, "/screen", &format!("{cookie}{}", carrier::upgrade(&address)))), 503);
}

proptest! {
    #[test]
    fn any_request_is_answered(path in "/[ -~]{0,40}", fields in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,40}"), 0..8)) {
        let gate = Gate::new(80);
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("Host", "localhost")]).collect();
        prop_assert!(matches!(gate.entry(&Request::for_test("GET", &path, "token=1", &fields)), Entry::No(_)));
    }

    #[test]
    fn any_archive_is_read_or_refused(mut data in prop::collection::vec(any::<u8>(), 0..2048), size in "[0-9 ]{0,12}") {
        use std::io::Read;
        for (at, byte) in size.bytes().enumerate() {
            if let Some(to) = data.get_mut(124 + at) {
                *to = byte;
            }
        }
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(&data[..], flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        let _ = archive::unpack(&packed);
    }
}
