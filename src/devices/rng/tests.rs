use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::virtio::guest::*;
use std::io::Write;
use std::sync::Arc;

fn build(options: &str) -> Result<Box<dyn Device>> {
    (KIND.build)(&Options::parse(options, KIND.positional())?, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
}

#[test]
fn buffers_are_filled_from_the_source_until_it_ends() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
    file.write_all(&bytes).unwrap();
    for over in WAYS {
        let mut g = Guest::with(build(&file.path().display().to_string()).unwrap(), over);
        g.boot();
        // What the driver gives to read from is not touched, pieces are filled in turn.
        g.send(0, &[(DATA, 8, false), (DATA + 0x100, 10, true), (DATA + 0x200, 20, true)]);
        g.until("it is answered", |g| g.used(0) == 1);
        assert_eq!(g.mem.read::<4>(g.areas(0)[2] + 8).unwrap(), 30u32.to_le_bytes());
        assert_eq!(g.mem.read::<10>(DATA + 0x100).unwrap(), bytes[..10]);
        assert_eq!(g.mem.read::<20>(DATA + 0x200).unwrap(), bytes[10..30]);
        assert_eq!(g.mem.read::<11>(DATA + 0x10a).unwrap(), [0; 11]);
        g.send(0, &[(DATA, 0x1_0000, true)]);
        g.until("it is answered", |g| g.used(0) == 2);
        assert_eq!(g.mem.read::<4096>(DATA).unwrap(), bytes[30..30 + 4096]);
        assert_eq!(g.mem.read::<1>(DATA + 4096).unwrap(), [0], "one request has a limit");
        g.send(0, &[(DATA, 4096, true)]);
        g.until("it is answered", |g| g.used(0) == 3);
        g.send(0, &[(DATA, 1, true)]);
        g.until("nothing is left", |g| g.status() & NEEDS_RESET != 0);
    }
}

#[test]
fn a_source_must_be_a_file_that_does_not_block() {
    let says = |options: &str| format!("{:#}", build(options).err().unwrap());
    assert_eq!(says("/nowhere"), "source=/nowhere: No such file or directory (os error 2)");
    assert_eq!(says("source=/"), "source=/: is neither a character device nor a file");
}
