use super::*;
use crate::mem::Memory;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LEN: usize = 5 << 20;

/// What a disk holds: zeroes, what packs well, and what does not.
fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut disk = vec![0; len];
    for piece in disk.chunks_mut(24 << 10) {
        match random() % 4 {
            0 | 1 => {}
            2 => piece.iter_mut().enumerate().for_each(|(i, b)| *b = (i / 100) as u8),
            _ => piece.iter_mut().for_each(|b| *b = random() as u8),
        }
    }
    disk
}

fn qemu_img(args: &[&str]) -> bool {
    let out = Command::new("qemu-img").args(args).output();
    let Ok(out) = out else {
        println!("SKIPPED: no qemu-img here (package qemu-utils)");
        return false;
    };
    assert!(out.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    true
}

/// A format by qemu-img's name, and its options.
const KINDS: &[(&str, &[&str])] = &[
    ("vmdk", &["-o", "subformat=monolithicSparse"]),
    ("vmdk", &["-o", "subformat=streamOptimized"]),
    ("vdi", &[]),
    ("vdi", &["-o", "static=on"]),
    ("vpc", &["-o", "subformat=dynamic"]),
    ("vpc", &["-o", "subformat=fixed"]),
    ("vpc", &["-o", "subformat=dynamic,force_size=on"]),
    ("vpc", &["-o", "subformat=fixed,force_size=on"]),
    ("qcow2", &[]),
    ("qcow2", &["-o", "compat=0.10"]),
    ("qcow2", &["-o", "cluster_size=512"]),
    ("qcow2", &["-c"]),
    ("qcow2", &["-c", "-o", "compression_type=zstd"]),
    ("qcow2", &["-c", "-o", "compression_type=zstd,cluster_size=2M"]),
    ("qcow2", &["-c", "-o", "compression_type=zstd,extended_l2=on,cluster_size=128k"]),
    ("qcow2", &["-o", "extended_l2=on,cluster_size=128k"]),
];

/// `None`: no qemu-img.
fn made(dir: &Path, kind: &(&str, &[&str]), disk: &[u8]) -> Option<PathBuf> {
    let (raw, path) = (dir.join("raw"), dir.join("image"));
    fs::write(&raw, disk).unwrap();
    let ends = [raw.to_str().unwrap(), path.to_str().unwrap()];
    let args = [&["convert", "-f", "raw", "-O", kind.0], kind.1, &ends].concat();
    qemu_img(&args).then_some(path)
}

fn open(kind: &str, path: &Path) -> Result<Box<dyn Image>> {
    let file = fs::File::open(path).unwrap();
    match kind {
        "vmdk" => vmdk::open(file, path),
        "vdi" => vdi::open(file, path),
        "vpc" => vhd::open(file, path),
        _ => qcow2::Qcow2::open(file, path)?.over(None),
    }
}

#[test]
fn every_format_reads_as_what_qemu_put_into_it() {
    let mut disk = content(LEN + 1536);
    disk[2 << 20..4 << 20].fill(0);
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let Some(path) = made(dir.path(), kind, &disk) else { return };
        let image = open(kind.0, &path).unwrap();
        // VHD by geometry is rounded up to a cylinder.
        let more = image.size() as usize - disk.len();
        assert!(more == 0 || (kind.0 == "vpc" && more < 1 << 20), "{kind:?}: {more} bytes more");
        let wanted = [disk.clone(), vec![0; more]].concat();
        let mut got = vec![0xa5; wanted.len()];
        image.read_bytes(0, &mut got).unwrap();
        assert!(got == wanted, "{kind:?}: differs at {:?}", got.iter().zip(&wanted).position(|(a, b)| a != b));
        let mem = Memory::new(&[(0, 0x10_0000)], None).unwrap();
        for (at, lengths) in [(0, vec![512, 1, 4096]), (65_000, vec![70_000, 3, 200_000]), (LEN as u64, vec![1536])] {
            let to: Vec<Slice> =
                lengths.iter().enumerate().map(|(i, len)| mem.slice(i as u64 * 0x2_0000 + 3, *len).unwrap()).collect();
            image.read_at(at, &to).unwrap();
            let mut at = at as usize;
            for part in &to {
                let mut bytes = vec![0; part.len()];
                part.copy_to(&mut bytes);
                assert!(bytes == wanted[at..at + bytes.len()], "{kind:?} at {at}");
                at += bytes.len();
            }
        }
        let (mut at, mut holes) = (0, 0);
        while let Some(data) = image.next_data(at).unwrap() {
            assert!(data.start >= at && data.end > data.start && data.end <= image.size(), "{kind:?}: {data:?}");
            assert!(wanted[at as usize..data.start as usize].iter().all(|b| *b == 0), "{kind:?}: {data:?}");
            holes += data.start - at;
            at = data.end;
        }
        let whole = matches!(kind.1, ["-o", o] if o.starts_with("subformat=fixed") || *o == "static=on");
        assert!(whole || at < wanted.len() as u64 || holes > 0, "{kind:?}: no hole is seen");
        let past = image.read_bytes(image.size(), &mut [0]).unwrap_err();
        assert_eq!(past.kind(), ErrorKind::InvalidInput);
        assert_eq!(image.write_zeroes(0, 512, true).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
}

#[test]
fn a_backing_file_shows_where_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let disk = content(300 << 10);
    let Some(base) = made(dir.path(), &("vdi", &[]), &disk) else { return };
    let top = dir.path().join("top");
    let (base_name, top_name) = (base.to_str().unwrap(), top.to_str().unwrap());
    let options = "compression_type=zstd,extended_l2=on";
    qemu_img(&["create", "-f", "qcow2", "-o", options, "-b", base_name, "-F", "vdi", top_name, "1M"]);
    let commands = ["-c", "write -P 7 4096 3000", "-c", "write -z 65536 70000", top_name];
    assert!(Command::new("qemu-io").args(commands).output().unwrap().status.success());
    let top = qcow2::Qcow2::open(fs::File::open(&top).unwrap(), &top).unwrap();
    let image = top.over(Some(open("vdi", &base).unwrap())).unwrap();
    let mut got = vec![0xa5; 1 << 20];
    image.read_bytes(0, &mut got).unwrap();
    let mut wanted = disk;
    wanted.resize(1 << 20, 0);
    wanted[4096..7096].fill(7);
    wanted[65536..135_536].fill(0);
    assert!(got == wanted);
    let first = image.next_data(200 << 10).unwrap().unwrap();
    assert!(first.end <= 300 << 10);
    assert_eq!(image.next_data(300 << 10).unwrap(), None);
}

fn refusal(kind: &str, path: &Path) -> String {
    format!("{:#}", open(kind, path).err().expect("it was opened"))
}

#[test]
fn what_is_not_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let name = |name: &str| path(name).to_str().unwrap().to_string();
    fs::write(path("raw"), content(1 << 20)).unwrap();
    let to = |format: &str, options: &str, out: &str| {
        qemu_img(&["convert", "-f", "raw", "-O", format, "-o", options, &name("raw"), &name(out)])
    };
    if !to("vmdk", "subformat=monolithicFlat", "flat.vmdk") {
        return;
    }
    assert!(refusal("vmdk", &path("flat.vmdk")).contains("flat-flat.vmdk"));
    to("vmdk", "subformat=twoGbMaxExtentSparse", "parts.vmdk");
    assert!(refusal("vmdk", &path("parts.vmdk")).contains("createType"));
    assert!(refusal("vmdk", &path("parts-s001.vmdk")).contains("several files"));
    to("vmdk", "subformat=monolithicSparse", "base.vmdk");
    qemu_img(&["create", "-f", "vmdk", "-b", &name("base.vmdk"), "-F", "vmdk", &name("child.vmdk")]);
    assert!(refusal("vmdk", &path("child.vmdk")).contains("parentCID"));
    to("qcow2", &format!("data_file={}", name("data")), "external");
    assert!(refusal("qcow2", &path("external")).contains("another file"));
    let whole = fs::read(path("base.vmdk")).unwrap();
    fs::write(path("cut"), &whole[..600]).unwrap();
    assert!(refusal("vmdk", &path("cut")).contains(&name("cut")));
    for kind in ["vmdk", "vdi", "vpc", "qcow2"] {
        let text = refusal(kind, &path("raw"));
        assert!(text.contains("header") || text.contains("footer"), "{text}");
    }
}

/// Opens and reads what may be anything: it must end soon, and well.
fn survives(kind: &str, path: &Path) -> Result<(), TestCaseError> {
    let image = match open(kind, path) {
        Ok(image) => image,
        Err(e) => {
            let text = format!("{e:#}");
            prop_assert!(text.contains(&path.display().to_string()), "the image is not named: {}", text);
            return Ok(());
        }
    };
    prop_assert!(image.size() % SECTOR == 0 && i64::try_from(image.size()).is_ok());
    let mut bytes = vec![0; 300 << 10];
    for part in [0, 1, 2, 3, 5, 8] {
        let at = (image.size() / 8 * part).min(image.size().saturating_sub(bytes.len() as u64));
        let n = bytes.len().min(image.size() as usize);
        let _ = image.read_bytes(at, &mut bytes[..n]);
    }
    let mut at = 0;
    for _ in 0..50 {
        match image.next_data(at) {
            Ok(Some(data)) => {
                prop_assert!(data.start >= at && data.end > data.start);
                at = data.end;
            }
            _ => break,
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Damage {
    /// Where in the file, of what is not plainly data.
    at: prop::sample::Index,
    bytes: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        any::<u32>().prop_map(|n| n.to_le_bytes().to_vec()),
        Just(vec![0xff; 4]),
        Just(vec![0xff; 8]),
        Just(vec![0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (0..64u32).prop_map(|bit| (1u64 << bit).to_be_bytes().to_vec()),
        Just(vec![0; 8]),
    ];
    (any::<prop::sample::Index>(), value).prop_map(|(at, bytes)| Damage { at, bytes })
}

/// Mends the checksums of a VHD, so that what lies behind them is reached.
fn mend_vhd(image: &mut [u8]) {
    let len = image.len();
    for (at, size, field) in [(0, 512, 64), (len - 512, 512, 64), (512, 1024, 36)] {
        let part = &mut image[at..at + size];
        part[field..field + 4].fill(0);
        let sum = !part.iter().fold(0u32, |sum, b| sum.wrapping_add(u32::from(*b)));
        part[field..field + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

#[test]
fn damaged_images_are_read_or_refused() {
    let disk = content(200 << 10);
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let Some(path) = made(dir.path(), kind, &disk) else { return };
        let good = fs::read(&path).unwrap();
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(80));
        let many = (prop::collection::vec(damage(), 1..4), 0..4u32, any::<prop::sample::Index>());
        let result = runner.run(&many, |(damages, place, cut)| {
            let mut image = good.clone();
            for Damage { at, bytes } in damages {
                // The header most often, then tables near the beginning, the end, anywhere.
                let len = image.len();
                let at = match place {
                    0 | 1 => at.index(len.min(if kind.0 == "vpc" { 1600 } else { 512 })),
                    2 => at.index(len.min(256 << 10)),
                    _ => len - 1 - at.index(len.min(2048)),
                };
                image.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = from);
            }
            if kind.0 == "vpc" {
                mend_vhd(&mut image);
            }
            if cut.index(10) == 0 {
                image.truncate(cut.index(image.len()));
            }
            fs::write(&path, &image).unwrap();
            survives(kind.0, &path)
        });
        result.unwrap_or_else(|e| panic!("{kind:?}: {e}"));
    }
}

#[test]
fn what_unpacks_to_more_than_a_block_costs_no_more_than_a_block() {
    use std::io::Write;
    use unpack::{Method, unpack};
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = packer.finish().unwrap();
    let block = unpack(Method::Zlib, &bomb, 65536).unwrap();
    assert_eq!((block.len(), block.capacity()), (65536, 65536));
    // A frame that says its window has 2 GiB (RFC 8878, 3.1.1.1.2: exponent 21).
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
    assert!(unpack(Method::Zstd, &window, 65536).is_err());
}
