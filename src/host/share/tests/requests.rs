//! The server by requests laid by hand: the protocol, its limits, and clients that mean harm.

use super::client::*;
use super::script::picture;
use super::*;
use proptest::prelude::*;
use std::os::unix::fs::symlink;

const ROOT: u64 = wire::FUSE_ROOT_ID;

/// A shared directory `in` with a secret beside it, and ways to it that a careless server would take.
fn walled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("out/deep")).unwrap();
    fs::write(at("out/secret"), b"canary").unwrap();
    fs::write(at("out/deep/secret"), b"canary").unwrap();
    fs::create_dir_all(at("in/d/e")).unwrap();
    fs::write(at("in/f"), b"content").unwrap();
    fs::write(at("in/d/g"), b"more").unwrap();
    symlink("../out", at("in/up")).unwrap();
    symlink(at("out/secret"), at("in/abs")).unwrap();
    symlink("/", at("in/d/root")).unwrap();
    symlink("../../out/secret", at("in/d/h")).unwrap();
    dir
}

#[test]
fn names_that_are_no_names_are_refused() {
    let dir = walled();
    let mut c = Client::new(&dir.path().join("in"), RW);
    for name in ["", ".", "..", "../out", "d/g", "/etc/passwd", "up/secret", "/"] {
        assert_eq!(c.lookup(ROOT, name), Err(libc::EINVAL), "{name}");
        assert_eq!(c.create(ROOT, name), Err(libc::EINVAL), "{name}");
        for opcode in [Opcode::Unlink, Opcode::Rmdir] {
            assert_eq!(c.call(opcode, ROOT, body().text(name)), Err(libc::EINVAL), "{name}");
        }
        let d = c.lookup(ROOT, "d").unwrap();
        for (from, to) in [("f", name), (name, "f")] {
            let rename = body().u64(d).text(from).text(to);
            assert_eq!(c.call(Opcode::Rename, ROOT, rename), Err(libc::EINVAL), "{name}");
        }
        assert_eq!(c.call(Opcode::Mkdir, ROOT, body().u32(0o755).u32(0).text(name)), Err(libc::EINVAL));
        assert_eq!(c.call(Opcode::Symlink, ROOT, body().text(name).text("x")), Err(libc::EINVAL));
        assert_eq!(c.call(Opcode::Link, d, body().u64(d).text(name)), Err(libc::EINVAL));
    }
    let unended = Body(b"name without an end".to_vec());
    assert_eq!(c.call(Opcode::Lookup, ROOT, unended), Err(libc::EINVAL));
}

#[test]
fn symbolic_links_are_text_and_lead_nowhere() {
    let dir = walled();
    let mut c = Client::new(&dir.path().join("in"), RW);
    for name in ["up", "abs"] {
        let link = c.lookup(ROOT, name).unwrap();
        assert!(c.call(Opcode::Readlink, link, body()).is_ok());
        assert_eq!(c.lookup(link, "secret"), Err(libc::ENOTDIR));
        assert_eq!(c.create(link, "new"), Err(libc::ENOTDIR));
        assert_eq!(c.open(link, libc::O_RDONLY), Err(libc::ELOOP));
        assert_eq!(c.call(Opcode::Opendir, link, body().u64(0)), Err(libc::ENOTDIR));
        assert_eq!(c.create(ROOT, name), Err(libc::ELOOP));
    }
    // A directory that the host makes a link of, while the client knows it as a directory.
    let d = c.lookup(ROOT, "d").unwrap();
    let e = c.lookup(d, "e").unwrap();
    let g = c.lookup(d, "g").unwrap();
    c.rig.server.tree.forget_descriptors();
    fs::rename(dir.path().join("in/d"), dir.path().join("moved")).unwrap();
    symlink("../out/deep", dir.path().join("in/d")).unwrap();
    assert_eq!(c.lookup(d, "secret"), Err(libc::ESTALE));
    assert_eq!(c.open(g, libc::O_RDONLY), Err(libc::ESTALE));
    assert_eq!(c.lookup(e, "x"), Err(libc::ESTALE));
    assert_eq!(fs::read(dir.path().join("out/secret")).unwrap(), b"canary");
}

#[test]
fn what_is_neither_file_nor_directory_is_never_opened() {
    let dir = walled();
    let inside = dir.path().join("in");
    let root = fs::File::open(&inside).unwrap();
    dir::make_node(root.as_fd(), c"fifo", libc::S_IFIFO | 0o666, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("sock")).unwrap();
    let mut c = Client::new(&inside, RW);
    for name in ["fifo", "sock"] {
        let node = c.lookup(ROOT, name).unwrap();
        for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR | libc::O_TRUNC] {
            assert_eq!(c.open(node, flags), Err(libc::ENXIO), "{name}");
        }
        assert_eq!(c.create(ROOT, name), Err(libc::ENXIO));
    }
    // A regular file that the host puts a FIFO in the place of.
    let f = c.lookup(ROOT, "f").unwrap();
    c.rig.server.tree.forget_descriptors();
    fs::rename(inside.join("fifo"), inside.join("f")).unwrap();
    assert_eq!(c.open(f, libc::O_RDONLY), Err(libc::ESTALE));
}

#[test]
fn the_protocol_is_negotiated() {
    let dir = walled();
    let mut rig = Rig::new(&dir.path().join("in"), RW);
    let early = request(Opcode::Getattr as u32, 3, ROOT, 0, &[0; 16]);
    assert_eq!(head_of(&rig.serve(&early, 200).unwrap()), (16, -libc::EIO, 3), "before INIT");
    let mut c = Client::of(rig);
    assert_eq!(c.init(30), Err(libc::EPROTO));
    let newer = body().u32(8).u32(0).u32(0).u32(0);
    assert_eq!(u32_at(&c.call(Opcode::Init, 0, newer).unwrap(), 0), 7);
    for (minor, said) in [(31, 31), (38, 38), (39, 39), (45, 39)] {
        let out = c.init(minor).unwrap();
        assert_eq!((out.len(), u32_at(&out, 0), u32_at(&out, 4)), (64, 7, said));
        assert_eq!(u32_at(&out, 20), 1 << 20, "max_write");
        let flags = u64::from(u32_at(&out, 12)) | u64::from(u32_at(&out, 32)) << 32;
        assert_ne!(flags & init_flag::DO_READDIRPLUS, 0);
        assert_eq!(flags & (init_flag::POSIX_LOCKS | 1 << 16 | 1 << 27), 0, "no locks, write-back, submounts");
    }
    let old = Client::new(&dir.path().join("in"), Settings { locks: Locking::Host, ..RW }).init(39).unwrap();
    assert_ne!(u32_at(&old, 12) & init_flag::POSIX_LOCKS as u32, 0);
    assert_eq!(c.call(Opcode::Setlkw, ROOT, Body(vec![0; 48])), Err(libc::ENOSYS));
    for opcode in [34, 37, 39, 40, 41, 48, 49, 0, 7, 19, 9999] {
        let raw = request(opcode, 5, ROOT, 0, &[0; 100]);
        assert_eq!(head_of(&c.rig.serve(&raw, 200).unwrap()), (16, -libc::ENOSYS, 5), "{opcode}");
    }
}

use super::wire::init as init_flag;

#[test]
fn all_that_is_open_or_known_is_given_back() {
    let dir = walled();
    let budget = Budget::new(1000);
    let server = Server::with_budget(&dir.path().join("in"), RW, budget.clone(), 1000).unwrap();
    let mut c = Client::of(Rig::of(server));
    let (d, f) = (c.lookup(ROOT, "d").unwrap(), c.lookup(ROOT, "f").unwrap());
    let g = c.lookup(d, "g").unwrap();
    assert_eq!(c.lookup(d, "g"), Ok(g), "one inode, one number");
    let fh = c.open(f, libc::O_RDWR).unwrap();
    assert_eq!(c.read(fh, 0, 100).unwrap(), b"content");
    assert_eq!(c.read(fh, 3, 2).unwrap(), b"te");
    assert_eq!(u32_at(&c.write(fh, 7, b"!").unwrap(), 0), 1);
    assert_eq!(c.call(Opcode::Unlink, ROOT, body().text("f")), Ok(vec![]));
    assert_eq!(c.release(fh), Ok(vec![]));
    assert_eq!(c.release(fh), Err(libc::EBADF));
    assert_eq!(c.read(fh, 0, 1), Err(libc::EBADF));
    let again = c.open(f, libc::O_RDONLY).expect("it is known, so it lives on");
    assert_eq!(c.read(again, 0, 100).unwrap(), b"content!");
    c.release(again).unwrap();
    c.tell(Opcode::Forget, d, body().u64(1));
    assert_eq!(c.open(g, libc::O_RDONLY).and_then(|fh| c.release(fh)), Ok(vec![]), "found through what was forgotten");
    c.tell(Opcode::BatchForget, 0, body().u32(2).u32(0).u64(g).u64(2).u64(f).u64(1));
    assert_eq!((c.rig.server.tree.nodes.len(), c.rig.server.handles.len()), (1, 0));
    assert_eq!(budget.held(), 1, "the root's");
    for unknown in [d, f, g, 0, 12345, u64::MAX] {
        assert_eq!(c.lookup(unknown, "x"), Err(libc::ESTALE));
        c.tell(Opcode::Forget, unknown, body().u64(u64::MAX));
    }
    c.tell(Opcode::Forget, ROOT, body().u64(u64::MAX));
    assert!(c.lookup(ROOT, "d").is_ok());
    c.call(Opcode::Destroy, 0, body()).unwrap();
    assert_eq!(c.lookup(ROOT, "d"), Err(libc::EIO), "INIT comes first");
}

#[test]
fn what_is_not_there_is_remembered_only_when_nobody_else_makes_it() {
    let dir = walled();
    for (cache, said) in [(Cache::Auto, Err(libc::ENOENT)), (Cache::Never, Err(libc::ENOENT)), (Cache::Always, Ok(0))] {
        let mut c = Client::new(&dir.path().join("in"), Settings { cache, ..RW });
        assert_eq!(c.lookup(ROOT, "missing"), said);
        assert_eq!(c.rig.server.tree.nodes.len(), 1);
    }
    let mut c = Client::new(&dir.path().join("in"), Settings { cache: Cache::Always, ..RW });
    assert_eq!(c.call(Opcode::Lookup, ROOT, body().text("missing")).unwrap().len(), 128);
}

#[test]
fn tables_that_are_full_say_so_and_recover() {
    let dir = walled();
    let inside = dir.path().join("in");
    for i in 0..40 {
        fs::write(inside.join(format!("n{i}")), b"").unwrap();
    }
    let budget = Budget::new(30);
    let server = Server::with_budget(&inside, RW, budget.clone(), 20).unwrap();
    let mut c = Client::of(Rig::of(server));
    let nodes: Vec<u64> = (0..19).map(|i| c.lookup(ROOT, &format!("n{i}")).unwrap()).collect();
    assert_eq!(c.lookup(ROOT, "n20"), Err(libc::ENOMEM));
    let mut open = Vec::new();
    let refused = loop {
        match c.open(nodes[open.len() % nodes.len()], libc::O_RDONLY) {
            Ok(fh) => open.push(fh),
            Err(e) => break e,
        }
        assert!(open.len() < 100);
    };
    assert_eq!(refused, libc::ENFILE);
    assert_eq!(c.create(ROOT, "new"), Err(libc::ENFILE));
    assert_eq!(c.call(Opcode::Opendir, ROOT, body().u64(0)), Err(libc::ENFILE));
    assert_eq!(c.call(Opcode::Unlink, ROOT, body().text("n0")), Ok(vec![]), "also without room for its descriptor");
    assert!(budget.held() <= 32, "{}", budget.held());
    // Open, so it can still be looked at.
    assert!(c.call(Opcode::Getattr, nodes[0], body().u64(0).u64(0)).is_ok());
    for fh in open {
        c.release(fh).unwrap();
    }
    for node in nodes {
        c.tell(Opcode::Forget, node, body().u64(1));
    }
    let n = c.lookup(ROOT, "n20").unwrap();
    c.open(n, libc::O_RDONLY).unwrap();
}

#[test]
fn a_reply_without_room_is_an_error_and_never_more_than_the_room() {
    let dir = walled();
    let mut c = Client::new(&dir.path().join("in"), RW);
    let f = c.lookup(ROOT, "f").unwrap();
    let fh = c.open(f, libc::O_RDONLY).unwrap();
    let getattr = request(Opcode::Getattr as u32, 9, f, 0, &[0; 16]);
    assert_eq!(head_of(&c.rig.serve(&getattr, 16).unwrap()), (16, -libc::EIO, 9));
    assert_eq!(c.rig.serve(&getattr, 15), None);
    let read = body().u64(fh).u64(0).u32(u32::MAX).u32(0).u64(0).u64(0);
    let reply = c.rig.serve(&request(Opcode::Read as u32, 9, f, 0, &read.0), 16 + 3).unwrap();
    assert_eq!((head_of(&reply), &reply[16..]), ((19, 0, 9), &b"con"[..]));
    for (len, expected) in [(39u32, libc::EINVAL), (41, libc::EINVAL), (u32::MAX, libc::EINVAL), (0, libc::EINVAL)] {
        let mut raw = request(Opcode::Getattr as u32, 9, f, 0, &[]);
        raw[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(head_of(&c.rig.serve(&raw, 200).unwrap()), (16, -expected, 9), "len {len}");
    }
    let mut short = body().u64(fh).u64(0).u32(100).u32(0).u64(0).u64(0).bytes(b"too little");
    let raw = request(Opcode::Write as u32, 9, f, 0, &short.0);
    assert_eq!(head_of(&c.rig.serve(&raw, 200).unwrap()), (16, -libc::EINVAL, 9));
    short.0.resize(100 << 10, 0);
    let raw = request(Opcode::Setxattr as u32, 9, f, 0, &short.0);
    assert_eq!(head_of(&c.rig.serve(&raw, 200).unwrap()), (16, -libc::E2BIG, 9));
}

/// The fields of a request that makes some sense.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        4 => proptest::sample::select(&["f", "d", "e", "g", "h", "up", "abs", "root", "new", "x", "y"][..]),
        1 => proptest::sample::select(&["..", ".", "", "../out", "up/secret", "/", "user.x", "trusted.x"][..]),
    ];
    let number = prop_oneof![
        6 => 0u64..12,
        2 => proptest::sample::select(&[0x42u64, 0o100_644, 0o1_0644, 1 << 20, 4096, 0x8042][..]),
        1 => any::<u64>(),
    ];
    let field = prop_oneof![
        3 => number.clone().prop_map(|n| n.to_le_bytes().to_vec()),
        3 => number.prop_map(|n| (n as u32).to_le_bytes().to_vec()),
        3 => names.prop_map(|n| [n.as_bytes(), &[0]].concat()),
        1 => proptest::collection::vec(any::<u8>(), 0..64),
    ];
    proptest::collection::vec(field, 0..10).prop_map(|all| all.concat())
}

/// One that has the shape of its kind.
fn shaped() -> impl Strategy<Value = (u32, u64, Vec<u8>)> {
    let opcode = proptest::sample::select(Opcode::ALL);
    (opcode, 0u64..12, fields(), 0usize..96).prop_map(|(opcode, node, mut fields, pad)| {
        // Often the fixed part is what matters, and its zeroes are good values.
        if pad % 3 == 0 {
            fields.resize(fields.len() + pad, 0);
        }
        (opcode, node, fields)
    })
}

fn survives(settings: Settings, requests: Vec<Vec<u8>>, room: usize) {
    let dir = walled();
    let before = (picture(&dir.path().join("out")), picture(&dir.path().join("in")));
    let mut c = Client::new(&dir.path().join("in"), settings);
    for name in ["f", "d", "up", "abs"] {
        c.lookup(ROOT, name).unwrap();
    }
    for raw in requests {
        if let Some(reply) = c.rig.serve(&raw, room) {
            let (len, error, unique) = head_of(&reply);
            assert_eq!((len, unique), (reply.len(), u64_at(&raw, 8)));
            assert!((-4095..=0).contains(&error) && (error == 0 || len == 16), "{error} {len}");
        }
        c.rig.finish(|_| ());
    }
    assert_eq!(picture(&dir.path().join("out")), before.0, "what is outside is as it was");
    if settings.readonly {
        assert_eq!(picture(&dir.path().join("in")), before.1);
    }
    // It serves on.
    c.init(39).unwrap();
    c.call(Opcode::Statfs, ROOT, body()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(
        raw in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
        opcodes in proptest::collection::vec(0u32..56, 20),
        room in 0usize..5000,
    ) {
        let requests = raw.into_iter().zip(opcodes).map(|(mut raw, opcode)| {
            // Otherwise none would get past its header.
            let len = raw.len() as u32;
            if let Some(head) = raw.first_chunk_mut::<8>() {
                *head = (u64::from(len) | u64::from(opcode) << 32).to_le_bytes();
            }
            raw
        });
        survives(RW, requests.filter(|raw| raw.len() >= 40).collect(), room);
    }

    #[test]
    fn requests_that_make_some_sense_do_no_harm(
        all in proptest::collection::vec(shaped(), 1..60),
        mode in 0..4,
    ) {
        let settings = Settings {
            readonly: mode == 0,
            locks: if mode == 1 { Locking::Host } else { Locking::Guest },
            ..RW
        };
        let raw = all.into_iter().zip(1..).map(|((opcode, node, fields), n)| request(opcode, n, node, 0, &fields));
        survives(settings, raw.collect(), ROOM);
    }
}
