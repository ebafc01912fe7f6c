mod chains;
mod crash;
mod hostile;
mod model;
mod qcow2;

use super::*;
use crate::mem::Memory;
use model::{LEN, Op, agrees, bytes, op, start};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

fn how(format: Format, readonly: bool) -> How {
    How { format, readonly, direct: false, writes: Writes::Image }
}

/// An image file of `bytes` in a directory of its own.
fn image(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Tries until it works. (Another test that starts a program holds copies of all our descriptors, locks included,
/// between its fork and its exec.)
fn until<T>(what: impl FnMut() -> Option<T>) -> T {
    std::iter::repeat_with(what).take(1000).flatten().next().expect("it never worked")
}

/// Opens an image that nobody has open any more.
fn open_free(path: &Path, readonly: bool) -> Box<dyn Image> {
    until(|| open(path, &how(Format::Known(Kind::Raw), readonly)).ok())
}

fn refusal(path: &Path, format: Format, readonly: bool) -> String {
    format!("{:#}", open(path, &how(format, readonly)).err().expect("it was opened"))
}

fn raw_agrees(ops: &[Op], len: usize) -> Result<(), TestCaseError> {
    let (_dir, path) = image(&start(len));
    let (model, certain) = agrees(ops, start(len), || open_free(&path, false))?;
    let now = std::fs::read(&path).unwrap();
    prop_assert!((0..len).all(|i| !certain[i] || now[i] == model[i]));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_image_is_a_vector_of_bytes(ops in prop::collection::vec(op(), 1..30)) {
        raw_agrees(&ops, LEN)?;
    }

    #[test]
    fn whole_sectors_too(ops in prop::collection::vec(op(), 1..30)) {
        raw_agrees(&ops, LEN / 512 * 512)?;
    }
}

#[test]
fn a_part_of_a_sector_is_kept_and_padded() {
    let mem = Memory::new(&[(0, 0x1000)], None).unwrap();
    let (_dir, path) = image(&[7; 700]);
    let disk = open(&path, &how(Format::Auto, false)).unwrap();
    assert_eq!(disk.size(), 1024);
    let sector = [mem.slice(0, 512).unwrap()];
    sector[0].fill(0xff);
    disk.read_at(512, &sector).unwrap();
    assert_eq!(bytes(&sector), [vec![7; 188], vec![0; 324]].concat());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 700, "reading makes no file longer");
    disk.write_at(512, &sector).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1024);
    // Made shorter behind our back: an error, not zeroes.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(512).unwrap();
    assert_eq!(disk.read_at(512, &sector).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn holes_go_back_to_the_file_system() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, path) = image(&[7; 1 << 20]);
    let disk = open(&path, &how(Format::Auto, false)).unwrap();
    disk.flush().unwrap();
    let blocks = || std::fs::metadata(&path).unwrap().blocks();
    let full = blocks();
    disk.discard(0, 512 << 10).unwrap();
    disk.write_zeroes(512 << 10, 256 << 10, true).unwrap();
    if blocks() == full {
        println!("skipped: this file system has no holes");
        return;
    }
    assert!(blocks() <= full / 2, "{} of {full} blocks are left", blocks());
    assert_eq!(std::fs::read(&path).unwrap(), [vec![0; 768 << 10], vec![7; 256 << 10]].concat());
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let (dir, path) = image(&[]);
    let name = path.display().to_string();
    assert_eq!(
        refusal(&path, Format::Auto, false),
        format!("open {name}: it is empty; `truncate -s 10G {name}` gives it a size")
    );
    let missing = dir.path().join("none.img");
    let says = refusal(&missing, Format::Auto, true);
    assert!(says.contains("none.img") && says.contains("No such file"), "{says}");
    for readonly in [false, true] {
        assert!(refusal(dir.path(), Format::Auto, readonly).ends_with("it is a directory, not a disk image"));
        assert!(
            refusal(Path::new("/dev/null"), Format::Auto, readonly)
                .ends_with("it is neither a file nor a block device")
        );
    }
    for (head, what) in [(&b"QED\0"[..], "looks like qed"), (b"vhdxfile", "like vhdx"), (b"\x1f\x8b\x08", "with gzip")]
    {
        let (_dir, path) = image(&[head, &[0; 4096]].concat());
        let says = refusal(&path, Format::Auto, true);
        assert!(says.contains(what) && says.contains("format=raw"), "{says}");
        open(&path, &how(Format::Known(Kind::Raw), true)).unwrap();
    }
    assert!("qcow".parse::<Format>().unwrap_err().contains("want auto, raw, qcow2"));
}

#[test]
fn a_writer_is_alone_and_readers_are_not() {
    let (_dir, path) = image(&[0; 4096]);
    let try_open = |readonly| open(&path, &how(Format::Auto, readonly));
    let writer = try_open(false).unwrap();
    for readonly in [false, true] {
        let says = || refusal(&path, Format::Auto, readonly);
        until(|| says().contains("is already open in this kiln").then_some(()));
    }
    drop(writer);
    let (a, b) = (open_free(&path, true), try_open(true).unwrap());
    assert!(try_open(false).is_err());
    drop((a, b));
    open_free(&path, false);
}

/// A loop device; `None` where there are none to be had.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path) -> Option<Loop> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && Path::new(name.trim()).exists()).then(|| Loop(name.trim().into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn a_block_device_is_a_disk() {
    let (_dir, path) = image(&[7; 1 << 20]);
    let Some(device) = Loop::new(&path) else {
        println!("skipped: no loop device here");
        return;
    };
    let mem = Memory::new(&[(0, 0x1_0000)], None).unwrap();
    let disk = open_free(&device.0, false);
    assert_eq!((disk.size(), disk.physical_block() >= 512), (1 << 20, true));
    let part = [mem.slice(0, 0x1000).unwrap()];
    part[0].fill(9);
    disk.write_at(0x8000, &part).unwrap();
    disk.write_zeroes(0x1_0000, 0x1000, true).unwrap();
    disk.write_zeroes(0x1_1000, 0x200, false).unwrap();
    disk.discard(0x2_0000, 0x1_0000).unwrap();
    disk.flush().unwrap();
    let mut want = vec![7; 0x2_0000];
    want[0x8000..0x9000].fill(9);
    want[0x1_0000..0x1_1200].fill(0);
    assert!(std::fs::read(&path).unwrap()[..0x2_0000] == want);
    disk.read_at(0x8000 - 512, &part).unwrap();
    assert_eq!(bytes(&part), [vec![7; 512], vec![9; 0x1000 - 512]].concat());
    assert!(disk.read_at(1 << 20, &part).is_err());
    let says = refusal(&device.0, Format::Auto, false);
    assert!(says.ends_with("it is mounted or otherwise in use; unmount it, or add `readonly`"), "{says}");
    drop(disk);
    open_free(&device.0, false);
}

/// qemu-io, holding the image open until the answer to a command was seen.
struct QemuIo(std::process::Child);

impl QemuIo {
    fn open(path: &Path, readonly: bool) -> Option<QemuIo> {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw"]).args(readonly.then_some("-r")).arg(path);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::null()).spawn().ok()?;
        use std::io::{BufRead, BufReader, Write};
        child.stdin.as_mut()?.write_all(b"length\n").ok()?;
        let mut line = String::new();
        let out = child.stdout.as_mut()?;
        // "qemu-io> 4 KiB"; nothing when it could not open the image.
        BufReader::new(out).read_line(&mut line).ok()?;
        if line.contains("KiB") {
            return Some(QemuIo(child));
        }
        let _ = child.wait();
        None
    }
}

impl Drop for QemuIo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn qemu_and_kiln_exclude_each_other() {
    if Command::new("qemu-io").arg("--version").output().is_err() {
        println!("skipped: no qemu-io here (package qemu-utils)");
        return;
    }
    let (_dir, path) = image(&[0; 4096]);
    // qemu-img takes the locks that a QEMU guest would: nobody else may write.
    let info = || Command::new("qemu-img").args(["info", "-f", "raw"]).arg(&path).output().unwrap().status.success();
    let check = |kiln_readonly: bool, qemu_readonly: bool, together: bool| {
        let disk = open_free(&path, kiln_readonly);
        let also = QemuIo::open(&path, qemu_readonly).is_some();
        assert_eq!(also, together, "kiln first; readonly: kiln {kiln_readonly}, qemu {qemu_readonly}");
        drop(disk);
    };
    check(false, false, false);
    check(true, false, false);
    check(true, true, true);
    // A qemu-io that only reads lets others write: it may look at what kiln writes.
    check(false, true, true);
    until(|| info().then_some(()));
    let disk = open_free(&path, true);
    until(|| info().then_some(()));
    drop(disk);
    for kiln_readonly in [true, false] {
        let qemu = until(|| QemuIo::open(&path, false));
        let says = refusal(&path, Format::Auto, kiln_readonly);
        assert!(says.contains(&format!("PID {}, qemu-io", qemu.0.id())), "{says}");
        drop(qemu);
        open_free(&path, kiln_readonly);
    }
    let qemu = until(|| QemuIo::open(&path, true));
    open_free(&path, true);
    drop(qemu);
}

#[test]
fn a_file_system_without_holes_gets_zeroes_written() {
    use std::sync::atomic::Ordering::Relaxed;
    let (_dir, path) = image(&[7; 300_000]);
    let disk = file::File::open(&path, false).unwrap();
    disk.no_holes.store(true, Relaxed);
    disk.no_zero_range.store(true, Relaxed);
    disk.discard(0, 4096).unwrap();
    disk.write_zeroes(1000, 200_000, true).unwrap();
    disk.write_zeroes(202_000, 10, false).unwrap();
    let want = [vec![7; 1000], vec![0; 200_000], vec![7; 1000], vec![0; 10], vec![7; 300_000 - 202_010]].concat();
    assert!(std::fs::read(&path).unwrap() == want);
}

#[test]
fn a_guest_cannot_make_a_raw_image_look_like_another() {
    let mem = Memory::new(&[(0, 0x1000)], None).unwrap();
    let (_dir, path) = image(&[0; 8192]);
    let disk = open(&path, &how(Format::Auto, false)).unwrap();
    let write = |disk: &dyn Image, at: u64, bytes: &[u8]| {
        let part = mem.slice(0, bytes.len()).unwrap();
        part.copy_from(bytes);
        disk.write_at(at, &[part.take(1), part.skip(1)]).map_err(|e| e.kind())
    };
    assert_eq!(disk.guarded(), 512);
    for mark in [&b"QFI\xfb"[..], b"KDMV", b"# Disk DescriptorFile", b"conectix", b"QED\0", b"\x1f\x8b\x08"] {
        let sector = [mark, &vec![0; 600]].concat();
        assert_eq!(write(disk.as_ref(), 0, &sector), Err(ErrorKind::PermissionDenied), "{mark:?}");
    }
    assert_eq!(write(disk.as_ref(), 0, b"QF"), Ok(()));
    assert_eq!(write(disk.as_ref(), 2, b"I\xfb"), Err(ErrorKind::PermissionDenied));
    assert_eq!(write(disk.as_ref(), 3, &[7; 1000]), Ok(()));
    let now = std::fs::read(&path).unwrap();
    assert_eq!((&now[..3], &now[3..1003], now[1003]), (&b"QF\0"[..], &[7; 1000][..], 0));
    drop(disk);
    let disk = open_free(&path, false);
    assert_eq!((disk.guarded(), write(disk.as_ref(), 0, b"QFI\xfb")), (0, Ok(())));
}
