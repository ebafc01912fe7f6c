//! Builds the self-test guest with the compiler cargo uses, into OUT_DIR/guest.elf, and puts noVNC beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The package that tests/setup keeps, by its name there.
const NOVNC: &str = "novnc-1.7.0.tgz";

fn main() {
    guest();
    novnc();
}

/// OUT_DIR/novnc.tgz: the package, or nothing, and then `--display web` says what to do.
fn novnc() {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    ["KILN_CACHE", "XDG_CACHE_HOME"].iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    let ours = |cache: PathBuf| cache.join("kiln");
    let home = || var("HOME").unwrap_or_else(|| "/root".into()).join(".cache");
    let cache = var("KILN_CACHE").unwrap_or_else(|| ours(var("XDG_CACHE_HOME").unwrap_or_else(home)));
    let package = cache.join(NOVNC);
    println!("cargo::rerun-if-changed={}", package.display());
    let data = std::fs::read(&package).unwrap_or_default();
    let output = var("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set")).join("novnc.tgz");
    std::fs::write(&output, data).unwrap_or_else(|e| fail(&format!("write {}: {e}", output.display())));
}

fn guest() {
    let sources = Path::new("src/selftest/guest");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-env-changed=RUSTC");
    let var = |name| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| fail(&format!("{name} is not set"))));
    let output = var("OUT_DIR").join("guest.elf");
    let script = var("CARGO_MANIFEST_DIR").join(sources).join("linker.ld");

    let mut rustc = Command::new(var("RUSTC"));
    rustc.arg(sources.join("main.rs")).arg("-o").arg(&output);
    rustc.arg(format!("@{}", sources.join("rustc.args").display())).arg("-Copt-level=s");
    rustc.arg(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    match rustc.output() {
        Err(e) => fail(&format!("run {:?}: {e}", rustc.get_program())),
        Ok(out) if !out.status.success() => {
            fail(&format!("build the self-test guest: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr)))
        }
        Ok(out) => String::from_utf8_lossy(&out.stderr).lines().for_each(|line| println!("cargo::warning={line}")),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    exit(1)
}
