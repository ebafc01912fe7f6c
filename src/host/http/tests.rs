use super::*;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

const QUICK: Limits =
    Limits { connections: 4, head: 1024, body: 2048, time: Duration::from_millis(300), idle: Duration::from_secs(20) };

/// Says what it was asked, so that a test sees it.
fn echo(request: &Request, _: &Stream) -> Answer {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let asked = request.asked("q").unwrap_or_default();
    Response::text(200, &format!("{} {} [{asked}] {body}", request.method, request.path)).into()
}

/// Sends `sent`, ends, and reads all that comes back.
fn talk(limits: Limits, sent: &[u8]) -> String {
    let (here, there) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || Connection::new(Arc::new(Stream::Unix(there)), limits).run(&echo));
    // It may have had enough before this is through.
    let _ = (&here).write_all(sent);
    let _ = here.shutdown(Shutdown::Write);
    let mut back = Vec::new();
    let _ = (&here).read_to_end(&mut back);
    server.join().unwrap();
    String::from_utf8(back).unwrap()
}

fn status(sent: &str) -> String {
    talk(QUICK, sent.as_bytes()).lines().next().unwrap_or_default().to_string()
}

#[test]
fn requests_are_answered_one_after_the_other() {
    let back = talk(
        QUICK,
        b"\r\nGET /a?x=1&q=b%20c+d HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\nHost: h\nContent-Length: 3\n\nxyzHEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /",
    );
    let texts: Vec<_> = back.split("HTTP/1.1 200 OK\r\n").skip(1).map(|r| r.split_once("\r\n\r\n").unwrap()).collect();
    assert_eq!(texts.iter().map(|t| t.1).collect::<Vec<_>>(), ["GET /a [b c d] \n", "POST /b [] xyz\n", ""]);
    assert!(texts[2].0.contains("Content-Length: 11\r\nConnection: close"), "{back}");
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_ends() {
    for (sent, want) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ("GET / HTTP/9.1\r\nHost: h\r\n\r\n", "400"),
        ("no\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", "400"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "400"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2049\r\n\r\n", "413"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", "413"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "501"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", "408"),
        ("GET / HTTP/1.1\r\nHos", "408"),
    ] {
        assert!(status(sent).starts_with(&format!("HTTP/1.1 {want} ")), "{sent:?} gave {}", status(sent));
    }
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
}

#[test]
fn heads_are_bounded() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(2000));
    assert!(status(&long).contains(" 431 "), "{}", status(&long));
    assert!(status(&"a".repeat(9000)).contains(" 431 "));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a:\r\n".repeat(80));
    assert!(status(&many).contains(" 431 "), "{}", status(&many));
}

#[test]
fn a_field_is_one_field() {
    let wire = Response::new(302).field("Location", "/a\r\nSet-Cookie: b").wire(false, false);
    assert_eq!(String::from_utf8(wire).unwrap().lines().count(), 4);
}

#[test]
fn a_request_asks_and_lists() {
    let head = b"GET /?a&b=%zz&c=%C3%A9&d=%ff HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\r\n";
    let request = Request::parse(head).unwrap();
    let asked = ["a", "b", "c", "d", "e"].map(|n| request.asked(n));
    assert_eq!(asked, [Some(String::new()), None, Some("é".to_string()), None, None]);
    assert!(request.lists("connection", "upgrade") && !request.lists("connection", "up"));
}

fn server(limits: Limits, handler: impl Handler + 'static) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
    let server = Server::start("http", Listener::Unix(listener), limits, Arc::new(handler)).unwrap();
    (dir, server)
}

#[test]
fn the_client_understands_the_server() {
    let (dir, server) = server(QUICK, echo);
    let connect = || UnixStream::connect(dir.path().join("s")).unwrap();
    let reply = call(connect(), "POST", "/x?q=1", b"body").unwrap();
    assert_eq!((reply.status, reply.body), (200, b"POST /x [1] body\n".to_vec()));
    assert_eq!(call(connect(), "POST", "/x", &[0; 1 << 20]).unwrap().status, 413);
    drop(server);
    assert!(UnixStream::connect(dir.path().join("s")).is_err());
}

#[test]
fn idle_and_half_open_connections_make_room_for_new_ones() {
    let (dir, server) = server(Limits { time: Duration::from_secs(60), ..QUICK }, echo);
    let connect = || UnixStream::connect(dir.path().join("s")).unwrap();
    let mut old: Vec<_> = (0..QUICK.connections).map(|_| connect()).collect();
    old.iter_mut().for_each(|s| s.write_all(b"GET / HT").unwrap());
    assert_eq!(call(connect(), "GET", "/new", b"").unwrap().status, 200);
    // The oldest had to go.
    assert_eq!(old[0].read(&mut [0; 9]).unwrap_or(0), 0);
    old[3].write_all(b"TP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut back = String::new();
    old[3].read_to_string(&mut back).unwrap();
    assert!(back.starts_with("HTTP/1.1 200"), "{back}");
    drop(server);
}

#[test]
fn a_full_house_is_refused_and_closing_ends_all() {
    let (inside, entered) = std::sync::mpsc::channel();
    let inside = Lock::new(inside);
    let stay = move |_: &Request, _: &Stream| {
        let inside = inside.lock().clone();
        let run = Box::new(move |stream: Arc<Stream>, rest: Vec<u8>| {
            inside.send(rest).unwrap();
            while (&*stream).read(&mut [0; 9]).is_ok_and(|n| n > 0) {}
        });
        Answer::Upgrade(Response::new(101).field("Upgrade", "test"), run)
    };
    let (dir, server) = server(QUICK, stay);
    let connect = || UnixStream::connect(dir.path().join("s")).unwrap();
    let mut inner = Vec::new();
    for _ in 0..QUICK.connections {
        let mut stream = connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nrest").unwrap();
        assert_eq!(entered.recv().unwrap(), b"rest");
        inner.push(stream);
    }
    let mut back = String::new();
    connect().read_to_string(&mut back).unwrap();
    assert!(back.starts_with("HTTP/1.1 503"), "{back}");
    drop(server);
    for mut stream in inner {
        back.clear();
        stream.read_to_string(&mut back).unwrap();
        assert_eq!(back, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\n\r\n");
    }
}

#[test]
fn a_client_that_reads_nothing_is_left() {
    let (here, there) = UnixStream::pair().unwrap();
    let big = |_: &Request, _: &Stream| Response::new(200).body("a/b", vec![0; 16 << 20]).into();
    let server = std::thread::spawn(move || Connection::new(Arc::new(Stream::Unix(there)), QUICK).run(&big));
    (&here).write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    server.join().unwrap();
}

/// Mostly requests, with faults.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        "/a?q=%41",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "\n\n",
        "Host: h",
        "Content-Length: ",
        "3",
        "-1",
        "18446744073709551616",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: close",
        ":",
        "abc",
        "\0",
        "%",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
    ]);
    let word = prop_oneof![9 => words.prop_map(|w| w.as_bytes().to_vec()), 1 => any::<Vec<u8>>()];
    prop::collection::vec(word, 0..24).prop_map(|w| w.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sent_gets_responses_and_an_end(sent in sent()) {
        let back = talk(QUICK, &sent);
        prop_assert!(back.is_empty() || back.starts_with("HTTP/1.1 "), "{back}");
        let known = ["100", "200", "400", "408", "413", "431", "501"];
        for line in back.lines().filter_map(|l| l.strip_prefix("HTTP/1.1 ")) {
            prop_assert!(known.iter().any(|k| line.starts_with(k)), "{line}");
        }
    }
}
