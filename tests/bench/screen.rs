//! What a screen costs: kiln's VNC beside QEMU's with virtio-vga, on the same guest (tests/display/guest.rs) and with the same client
//! (tests/support/rfb.rs), one after the other in each round. 1920 by 1080 pixels, of which every one changes each time.
//!
//! `screen KILN GUEST [ROUNDS]`; prints medians with their quartiles. Asserts nothing, except that the picture is right.

#[path = "screen_measure.rs"]
mod measure;
#[path = "../display/picture.rs"]
mod picture;
#[path = "../support/rfb.rs"]
mod rfb;

use measure::{Seen, Vm};
use std::path::Path;
use std::process::Command;

pub const WIDTH: u32 = 1920;
pub const HEIGHT: u32 = 1080;
const ENCODINGS: &[(&str, i32)] = &[("raw", rfb::RAW), ("zrle", rfb::ZRLE), ("tight", rfb::TIGHT)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, kiln, guest, rest @ ..] = args.as_slice() else { panic!("usage: screen KILN GUEST [ROUNDS]") };
    let rounds: usize = rest.first().map_or(5, |r| r.parse().expect("ROUNDS is a number"));
    let dir = std::env::temp_dir().join(format!("kiln-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("create scratch folder");
    let mut vmms = vec![kiln_words(kiln, guest, &dir)];
    match Command::new("qemu-system-x86_64").arg("--version").output() {
        Ok(_) => vmms.push(qemu_words(guest, &dir)),
        Err(_) => println!("QEMU is left out: qemu-system-x86_64 is not installed"),
    }
    let mut seen: Vec<Vec<Seen>> = vmms.iter().map(|_| ENCODINGS.iter().map(|_| Seen::default()).collect()).collect();
    for round in 0..rounds {
        for (vmm, seen) in vmms.iter().zip(&mut seen) {
            if let Err(why) = run(vmm, seen, round) {
                println!("{}: round {round} failed: {why}", vmm.name);
            }
        }
    }
    report(&vmms, &seen, rounds);
    std::fs::remove_dir_all(&dir).expect("remove scratch folder");
}

/// A monitor: its command line but for the guest's own.
pub struct Vmm {
    pub name: &'static str,
    pub words: Vec<String>,
    pub append: &'static str,
    pub socket: std::path::PathBuf,
}

fn words(text: String) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn kiln_words(kiln: &str, guest: &str, dir: &Path) -> Vmm {
    let socket = dir.join("kiln.vnc");
    let words = words(format!(
        "{kiln} run {guest} --memory 256M --serial stdio --debug-exit 0xf4 --gpu=size={WIDTH}x{HEIGHT} --display vnc=unix:{}",
        socket.display()
    ));
    Vmm { name: "kiln", words, append: "--append", socket }
}

fn qemu_words(guest: &str, dir: &Path) -> Vmm {
    let socket = dir.join("qemu.vnc");
    let words = words(format!(
        "qemu-system-x86_64 -M pc,accel=kvm -name bench,debug-threads=on -bios qboot.rom -cpu host,arch-capabilities=off -m 256M -nodefaults \
         -no-user-config -no-reboot -serial stdio -kernel {guest} -device virtio-vga,xres={WIDTH},yres={HEIGHT} \
         -device virtio-keyboard-pci,disable-legacy=on -device isa-debug-exit,iobase=0xf4,iosize=1 -vnc unix:{}",
        socket.display()
    ));
    Vmm { name: "QEMU", words, append: "-append", socket }
}

/// One round of one monitor, in every encoding.
fn run(vmm: &Vmm, seen: &mut [Seen], round: usize) -> std::io::Result<()> {
    let mut still = Vm::start(vmm, "gpu=0 input echo=30 idle")?;
    for ((_, encoding), seen) in ENCODINGS.iter().zip(&mut *seen) {
        still.wait_and_change(*encoding, seen, round)?;
    }
    drop(still);
    let mut moving = Vm::start(vmm, "gpu=0 idle rate=30")?;
    for ((_, encoding), seen) in ENCODINGS.iter().zip(seen) {
        moving.follow(*encoding, seen)?;
    }
    Ok(())
}

/// 25 %, 50 %, 75 %.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    if v.is_empty() { [f64::NAN; 3] } else { [v[v.len() / 4], v[v.len() / 2], v[v.len() * 3 / 4]] }
}

fn report(vmms: &[Vmm], seen: &[Vec<Seen>], rounds: usize) {
    println!("{rounds} rounds, interleaved; median (quartiles)");
    println!(
        "{:<12} {:>20} {:>14} {:>20} {:>16} {:>14} {:>10}",
        "", "latency ms", "KiB a picture", "CPU % at 30/s", "pictures/s seen", "KiB a change", "wakeups/s"
    );
    let span = |v: &[f64], n: usize| {
        let [a, b, c] = quartiles(v);
        format!("{b:.n$} ({a:.n$}-{c:.n$})")
    };
    for (e, (name, _)) in ENCODINGS.iter().enumerate() {
        for (vmm, seen) in vmms.iter().zip(seen) {
            let s = &seen[e];
            println!(
                "{:<12} {:>20} {:>14} {:>20} {:>16} {:>14} {:>10}",
                format!("{} {name}", vmm.name),
                span(&s.latency, 1),
                format!("{:.1}", quartiles(&s.picture)[1]),
                span(&s.cpu, 1),
                format!("{:.1}", quartiles(&s.rate)[1]),
                format!("{:.1}", quartiles(&s.change)[1]),
                format!("{:.1}", quartiles(&s.wakeups)[1]),
            );
        }
    }
}
