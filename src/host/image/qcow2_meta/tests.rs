use super::tables::Tables;
use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering::Relaxed;

const LEN: usize = 1 << 20;

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn here() -> bool {
    let here = Command::new("qemu-img").arg("--version").output().is_ok();
    if !here {
        println!("SKIPPED: no qemu-img here (package qemu-utils)");
    }
    here
}

fn qemu_img(args: &[&str]) {
    let out = run("qemu-img", args);
    assert!(out.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn qemu_io(path: &str, commands: &[&str]) {
    let mut args = vec!["-f", "qcow2"];
    commands.iter().for_each(|c| args.extend(["-c", c]));
    args.push(path);
    let out = run("qemu-io", &args);
    assert!(out.status.success(), "qemu-io {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Corruptions, leaks and what could not be checked, as QEMU counts them; `None`: it does not open the image.
fn qemu_check(path: &Path) -> Option<(u64, u64, u64)> {
    let out = run("qemu-img", &["check", "-f", "qcow2", "--output=json", path.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).ok()?;
    let n = |key: &str| json.get(key).and_then(|n| n.as_u64()).unwrap_or(0);
    Some((n("corruptions"), n("leaks"), n("check-errors")))
}

fn open(path: &Path) -> anyhow::Result<Tables> {
    Tables::open(fs::File::options().read(true).write(true).open(path)?, path)
}

fn our_check(path: &Path) -> anyhow::Result<check::Report> {
    check::check(&open(path)?)
}

fn counts(report: &check::Report) -> (u64, u64, u64) {
    (report.corruptions, report.leaks, report.unreadable)
}

fn disk(path: &Path) -> Vec<u8> {
    let raw = path.with_extension("raw");
    qemu_img(&["convert", "-f", "qcow2", "-O", "raw", path.to_str().unwrap(), raw.to_str().unwrap()]);
    fs::read(raw).unwrap()
}

const KINDS: &[&str] = &[
    "compat=1.1",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4096,refcount_bits=1",
    "cluster_size=4096,refcount_bits=2",
    "cluster_size=4096,refcount_bits=64",
    "extended_l2=on,cluster_size=16k",
    "compression_type=zstd",
];

/// An image with data, holes, zeroes, and (where refcounts are wide enough) compressed clusters and snapshots.
fn image(dir: &Path, options: &str) -> PathBuf {
    let path = dir.join("image.qcow2");
    let name = path.to_str().unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, name, "1M"]);
    qemu_io(name, &["write -P 1 0 100k", "write -P 2 300k 70k", "write -z 64k 64k", "write -P 5 900k 10k"]);
    if !options.contains("refcount_bits=") {
        qemu_io(name, &["write -c -P 4 512k 64k", "write -c -P 4 576k 64k"]);
        qemu_img(&["snapshot", "-c", "first", name]);
        qemu_io(name, &["write -P 6 40k 100k"]);
        qemu_img(&["snapshot", "-c", "second", name]);
        qemu_io(name, &["write -P 7 310k 10k"]);
    }
    path
}

#[test]
fn good_images_are_clean() {
    if !here() {
        return;
    }
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), kind);
        let report = our_check(&path).unwrap();
        assert!(report.clean(), "{kind}: {:?}", report.found);
        assert_eq!(qemu_check(&path), Some((0, 0, 0)), "{kind}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "compat=1.1");
    qemu_img(&["bitmap", "--add", path.to_str().unwrap(), "changes"]);
    qemu_io(path.to_str().unwrap(), &["write -P 9 0 1M"]);
    assert!(our_check(&path).unwrap().clean());
}

/// A place where metadata are: an entry (8 bytes) of a table.
fn entries(tables: &Tables) -> [Vec<u64>; 4] {
    let head = &tables.header;
    let words = |at: u64, len: u64| (0..len / 8).map(move |i| at + i * 8);
    let refcount_table = head.refcount_table_offset;
    let blocks = tables.numbers(refcount_table, 4).unwrap().into_iter().filter(|at| *at != 0);
    let mut l1s = vec![tables.roots().l1];
    l1s.extend(tables.roots().snapshots);
    let l2s: Vec<u64> = l1s.iter().flat_map(|l1| tables.l1(*l1).unwrap()).collect();
    let l2s = l2s.into_iter().map(|entry| entry & header::OFFSET).filter(|at| *at != 0);
    [
        words(refcount_table, 16).collect(),
        // Of the block only what counts clusters of the file.
        blocks.flat_map(|at| words(at, 128)).collect(),
        l1s.iter().flat_map(|l1| words(l1.at, u64::from(l1.entries) * 8)).collect(),
        l2s.flat_map(|at| words(at, 640)).collect(),
    ]
}

#[derive(Debug, Clone)]
enum Damage {
    Bit(u32),
    Zero,
    Ones,
    /// A place in the file, with the entry's upper bits left.
    Move(u64),
    /// What another entry of the same kind has.
    Copy(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0..64u32).prop_map(Damage::Bit),
        Just(Damage::Zero),
        Just(Damage::Ones),
        (0..40u64).prop_map(Damage::Move),
        any::<prop::sample::Index>().prop_map(Damage::Copy),
    ]
}

fn spoil(bytes: &mut Vec<u8>, at: u64, damage: &Damage, others: &[u64], cluster: u64) {
    let read = |at: u64, bytes: &[u8]| {
        let at = at as usize;
        bytes.get(at..at + 8).map_or(0, |b| u64::from_be_bytes(b.try_into().unwrap()))
    };
    let old = read(at, bytes);
    let new = match damage {
        Damage::Bit(bit) => old ^ (1 << bit),
        Damage::Zero => 0,
        Damage::Ones => u64::MAX,
        Damage::Move(n) => (old & !header::OFFSET) | (n * cluster),
        Damage::Copy(index) => read(others[index.index(others.len())], bytes),
    };
    bytes.resize(bytes.len().max(at as usize + 8), 0);
    bytes[at as usize..at as usize + 8].copy_from_slice(&new.to_be_bytes());
}

#[test]
fn what_is_wrong_is_counted_as_qemu_counts_it_and_repaired() {
    if !here() {
        return;
    }
    for (number, kind) in KINDS.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), kind);
        let good = fs::read(&path).unwrap();
        let content = disk(&path);
        let tables = open(&path).unwrap();
        let (places, cluster) = (entries(&tables), tables.header.cluster());
        drop(tables);
        let mut runner =
            proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(if number < 2 { 40 } else { 15 }));
        let one = (0..4usize, any::<prop::sample::Index>(), damage());
        let result = runner.run(&prop::collection::vec(one, 1..4), |damages| {
            let mut bytes = good.clone();
            for (kind, at, damage) in &damages {
                spoil(&mut bytes, places[*kind][at.index(places[*kind].len())], damage, &places[*kind], cluster);
            }
            fs::write(&path, &bytes).unwrap();
            let qemu = qemu_check(&path);
            let report = match our_check(&path) {
                Ok(report) => report,
                Err(e) => {
                    prop_assert!(qemu.is_none(), "QEMU counts {:?}, and kiln says: {:#}", qemu, e);
                    return Ok(());
                }
            };
            if let Some(qemu) = qemu {
                prop_assert_eq!(counts(&report), qemu, "{:#?}", report.found);
            }
            prop_assert!(fs::read(&path).unwrap() == bytes, "the check wrote");
            let left = check::repair(&mut open(&path).unwrap(), &report).unwrap();
            prop_assert!(left.sound() || !report.sound());
            prop_assert_eq!(left.leaks, 0, "{:#?}", &left.found);
            if let Some(qemu) = qemu_check(&path) {
                prop_assert_eq!(counts(&left), qemu, "after the repair: {:#?}", &left.found);
            }
            // Refcounts alone can always be counted anew.
            if damages.iter().all(|(kind, ..)| *kind < 2) {
                prop_assert!(left.clean(), "{:#?}", &left.found);
                prop_assert!(disk(&path) == content);
            }
            Ok(())
        });
        result.unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
}

#[test]
fn marks_in_the_header_are_taken_away_when_all_is_well() {
    if !here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "compat=1.1");
    let mut tables = open(&path).unwrap();
    tables.header.incompatible |= header::DIRTY | header::CORRUPT;
    tables.write_header().unwrap();
    drop(tables);
    assert!(snapshot::create(&mut open(&path).unwrap(), "no").unwrap_err().to_string().contains("check --repair"));
    let report = our_check(&path).unwrap();
    assert!(report.sound() && report.dirty && report.corrupt && !report.clean());
    assert!(check::repair(&mut open(&path).unwrap(), &report).unwrap().clean());
    assert_eq!(qemu_check(&path), Some((0, 0, 0)));
    qemu_io(path.to_str().unwrap(), &["write 0 4k"]);
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64, u64, u8, bool),
    Create(bool),
    Apply(prop::sample::Index, bool),
    Delete(prop::sample::Index, bool),
    Resize(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let which = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (0..900u64, 1..120u64, 1..255u8, any::<bool>()).prop_map(|(at, len, n, c)| Op::Write(at, len, n, c)),
        3 => any::<bool>().prop_map(Op::Create),
        2 => (which(), any::<bool>()).prop_map(|(i, q)| Op::Apply(i, q)),
        2 => (which(), any::<bool>()).prop_map(|(i, q)| Op::Delete(i, q)),
        1 => (1..40usize).prop_map(Op::Resize),
    ]
}

/// Runs the operations by kiln or by QEMU, and compares the disk and the list with a model after each.
fn agrees(options: &str, ops: &[Op]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.qcow2");
    let name = path.to_str().unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, name, "1M"]);
    let mut now = vec![0; LEN];
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    for (n, op) in ops.iter().enumerate() {
        match op {
            Op::Write(at, len, byte, compressed) => {
                let cluster = if options.contains("cluster_size") { 4 } else { 64 };
                let (at, len) = if *compressed { (at / cluster * cluster, cluster) } else { (*at, *len) };
                let range = at as usize * 1024..((at + len) as usize * 1024);
                if range.end > now.len() {
                    continue;
                }
                // QEMU compresses only what is not stored yet.
                let packed = ["-f", "qcow2", "-c", &format!("write -c -P {byte} {at}k {len}k"), name];
                if !compressed || !run("qemu-io", &packed).status.success() {
                    qemu_io(name, &[&format!("write -P {byte} {at}k {len}k")]);
                }
                now[range].fill(*byte);
            }
            Op::Create(qemu) => {
                let new = format!("s{n}");
                match qemu {
                    true => qemu_img(&["snapshot", "-c", &new, name]),
                    false => snapshot::create(&mut open(&path).unwrap(), &new).unwrap(),
                }
                kept.push((new, now.clone()));
            }
            Op::Apply(i, qemu) if !kept.is_empty() => {
                let (which, then) = kept[i.index(kept.len())].clone();
                match qemu {
                    true => qemu_img(&["snapshot", "-a", &which, name]),
                    false => snapshot::apply(&mut open(&path).unwrap(), &which).unwrap(),
                }
                now = then;
            }
            Op::Delete(i, qemu) if !kept.is_empty() => {
                let (which, _) = kept.remove(i.index(kept.len()));
                match qemu {
                    true => qemu_img(&["snapshot", "-d", &which, name]),
                    false => snapshot::delete(&mut open(&path).unwrap(), &which).unwrap(),
                }
            }
            Op::Resize(size) => {
                let size = size << 16;
                let result = resize::resize(&mut open(&path).unwrap(), size as u64);
                // Snapshots of the old version have all one size.
                let larger = size > now.len() && !options.contains("compat=0.10");
                prop_assert_eq!(result.is_ok(), kept.is_empty() || larger || size == now.len(), "{:?}", result);
                if result.is_ok() {
                    now.resize(size, 0);
                }
            }
            _ => {}
        }
        prop_assert_eq!(qemu_check(&path), Some((0, 0, 0)), "after {:?}", op);
        let report = our_check(&path).unwrap();
        prop_assert!(report.clean(), "after {:?}: {:#?}", op, report.found);
        prop_assert!(disk(&path) == now, "after {:?}", op);
        let names: Vec<String> = open(&path).unwrap().snapshots.iter().map(|s| s.name.clone()).collect();
        prop_assert_eq!(names, kept.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn snapshots_are_qemus() {
    if !here() {
        return;
    }
    for options in ["compat=1.1", "compat=0.10", "cluster_size=4k,refcount_bits=8", "extended_l2=on"] {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4));
        let result = runner.run(&prop::collection::vec(op(), 1..12), |ops| agrees(options, &ops));
        result.unwrap_or_else(|e| panic!("{options}: {e}"));
    }
}

/// QEMU would not go back to a snapshot otherwise: "Can't resize a v2 image which has snapshots".
#[test]
fn an_image_of_the_old_version_with_snapshots_keeps_its_size() {
    if !here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), "compat=0.10");
    let why = resize::resize(&mut open(&path).unwrap(), 2 << 20).unwrap_err().to_string();
    assert!(why.contains("version 2"), "{why}");
    resize::resize(&mut open(&path).unwrap(), 1 << 20).unwrap();
    qemu_img(&["snapshot", "-a", "first", path.to_str().unwrap()]);
}

/// Lets the power go after each write of an operation in turn.
fn cut_off(options: &str, what: &str, op: impl Fn(&mut Tables) -> anyhow::Result<()>) {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), options);
    let (good, before) = (fs::read(&path).unwrap(), disk(&path));
    let list = |path: &Path| open(path).unwrap().snapshots.len();
    let listed = list(&path);
    op(&mut open(&path).unwrap()).unwrap();
    let (after, lists) = (disk(&path), [listed, list(&path)]);
    for writes in 0.. {
        fs::write(&path, &good).unwrap();
        let mut tables = open(&path).unwrap();
        tables.power.store(writes, Relaxed);
        let done = op(&mut tables).is_ok();
        drop(tables);
        let found = disk(&path);
        assert!(found == before || found == after, "{what}, cut off after {writes} writes: another disk");
        assert!(lists.contains(&list(&path)));
        let report = our_check(&path).unwrap();
        // Only the copied flag may be missing, which costs a copy.
        assert!(report.corruptions == report.copied, "{what}, cut off after {writes} writes: {:#?}", report.found);
        let left = check::repair(&mut open(&path).unwrap(), &report).unwrap();
        assert!(left.clean() && qemu_check(&path) == Some((0, 0, 0)), "{:#?}", left.found);
        assert!(disk(&path) == found);
        if done {
            assert!(report.clean(), "{:#?}", report.found);
            return;
        }
    }
}

#[test]
fn a_change_that_is_cut_off_leaves_a_whole_image() {
    if !here() {
        return;
    }
    for options in ["compat=1.1", "cluster_size=4096,refcount_bits=16", "cluster_size=512"] {
        let named = |options: &str| if options.contains("refcount") { "third" } else { "first" };
        cut_off(options, "create", |tables| snapshot::create(tables, "new"));
        if named(options) == "first" {
            cut_off(options, "apply", |tables| snapshot::apply(tables, "first"));
            cut_off(options, "delete", |tables| snapshot::delete(tables, "first"));
        } else {
            cut_off(options, "shrink", |tables| resize::resize(tables, 400 << 10));
        }
        cut_off(options, "grow", |tables| resize::resize(tables, 40 << 20));
    }
}
