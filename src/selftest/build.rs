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
    rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=guest", "--target=x86_64-unknown-linux-gnu"]);
    rustc.args([
        "-Cpanic=abort",
        "-Copt-level=s",
        "-Clto=fat",
        "-Ccodegen-units=1",
        "-Cdebuginfo=0",
        "-Cstrip=symbols",
        "-Crelocation-model=static",
    ]);
    rustc.args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static", "-Clink-arg=-no-pie"]);
    rustc.args(["-Clink-arg=-Wl,--build-id=none", "-Clink-arg=-Wl,-z,norelro", "-Clink-arg=-Wl,-z,noexecstack"]);
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
