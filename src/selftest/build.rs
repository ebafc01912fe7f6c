//! Builds the self-test guest with the compiler cargo uses, into OUT_DIR/guest.elf.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
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
