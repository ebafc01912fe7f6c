use crate::config::Options;
use crate::devices::disk::KIND;
use crate::devices::{Built, Host};
use crate::platform::ide::Drive;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

fn build(options: &str) -> anyhow::Result<Built> {
    (KIND.build)(&Options::parse(options, KIND.positional())?, &Host::new(Arc::new(|_| {})))
}

fn drive(options: &str) -> Drive {
    match build(options).unwrap() {
        Built::Drive(drive) => drive,
        _ => panic!("{options} is no drive"),
    }
}

#[test]
fn a_disc_is_known_by_its_content_its_name_or_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, magic: &[u8]| {
        let path = dir.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(magic, 0x8001).unwrap();
        path.display().to_string()
    };
    let (disk, disc, named) = (make("disk", b""), make("disc", b"CD001"), make("x.ISO", b""));
    for (options, cdrom, readonly) in [
        (format!("{disk},bus=ide"), false, false),
        (format!("{disk},bus=ide,readonly"), false, true),
        (format!("{disk},bus=ide,cdrom"), true, true),
        (format!("{disc},bus=ide"), true, true),
        (format!("{named},bus=ide"), true, true),
        (format!("{disc},bus=ide,cdrom=off"), false, false),
    ] {
        let drive = drive(&options);
        assert_eq!((drive.cdrom, drive.readonly), (cdrom, readonly), "{options}");
    }
    assert_eq!(drive(&format!("{disk},bus=ide,serial=ABC")).serial.as_deref(), Some("ABC"));
    assert!(matches!(build(&disk).unwrap(), Built::Virtio(_)));
    for (wrong, words) in [("bus=scsi", "want virtio or ide"), ("bus=ide,queues=2", "an IDE drive has one")] {
        let error = build(&format!("{disk},{wrong}")).err().unwrap();
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
}
