//! qcow2 images against the model and against QEMU.

use super::model::{LEN, Op, agrees, op, start};
use super::*;
use std::process::Output;

/// Runs a tool of QEMU; `None` (and a line that says so) where there is none.
pub fn qemu(tool: &str, args: &[&str]) -> Option<Output> {
    match Command::new(tool).args(args).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("SKIPPED: no {tool} here (package qemu-utils)");
            None
        }
    }
}

/// qemu-img, which must succeed.
pub fn qemu_img(args: &[&str]) -> Option<String> {
    let output = qemu("qemu-img", args)?;
    let said = String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {args:?}: {said}");
    Some(said)
}

/// A qcow2 image that holds `bytes`; options as for `qemu-img convert -o`.
pub fn converted(dir: &Path, bytes: &[u8], options: &str, extra: &[&str]) -> Option<PathBuf> {
    let (raw, path) = (dir.join("raw.img"), dir.join("disk.qcow2"));
    std::fs::write(&raw, bytes).unwrap();
    let mut args = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", options];
    args.extend(extra);
    args.extend([raw.to_str().unwrap(), path.to_str().unwrap()]);
    qemu_img(&args)?;
    Some(path)
}

/// The bytes of the disk in an image, as QEMU sees them.
pub fn exported(dir: &Path, path: &Path) -> Vec<u8> {
    let out = dir.join("exported.img");
    qemu_img(&["convert", "-O", "raw", path.to_str().unwrap(), out.to_str().unwrap()]);
    std::fs::read(out).unwrap()
}

fn qcow2_agrees(ops: &[Op], len: usize, options: &str, extra: &[&str]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let Some(path) = converted(dir.path(), &start(len), options, extra) else { return Ok(()) };
    let (model, certain) = agrees(ops, start(len), || until(|| open(&path, &how(Format::Auto, false)).ok()))?;
    qemu_img(&["check", path.to_str().unwrap()]);
    let now = exported(dir.path(), &path);
    prop_assert_eq!(now.len(), model.len());
    prop_assert!((0..len).all(|i| !certain[i] || now[i] == model[i]));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_qcow2_image_is_a_vector_of_bytes(
        ops in prop::collection::vec(op(), 1..30),
        options in prop_oneof![
            Just("cluster_size=512"), Just("cluster_size=4k"), Just("cluster_size=64k"), Just("cluster_size=512,refcount_bits=1"),
            Just("cluster_size=512,refcount_bits=64"), Just("compat=0.10,cluster_size=1k"), Just("cluster_size=2M"),
        ],
        compressed in any::<bool>(),
    ) {
        qcow2_agrees(&ops, LEN, options, if compressed { &["-c"] } else { &[] })?;
    }
}
