//! Firmware in place of a kernel: what is refused, and Debian's SeaBIOS, on the host's own /dev/kvm, from its first
//! instruction to a boot sector of our own.

mod support;

use std::path::Path;
use std::process::Output;
use support::*;

const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";

/// A boot sector, and what the sector after it says.
fn disk() -> Vec<u8> {
    #[rustfmt::skip]
    let code = [
        0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, // cli; segments 0; sp = 0x7c00
        0xb0, 0x40, 0xe6, 0x70, 0xe4, 0x71, 0xfe, 0xc0, 0xe6, 0x71,             // one more life in CMOS byte 0x40
        0x3c, 0x02, 0x73, 0x09,                                                 // the second goes on
        0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd,                   // out 0xcf9, 6; hlt
        0xfb, 0xbb, 0x00, 0x80, 0xb8, 0x01, 0x02, 0xb9, 0x02, 0x00, 0xb6, 0x00, // sti; read sector 2 to 0x8000
        0xcd, 0x13, 0x72, 0x11,                                                 // int 0x13; jc
        0xfa,                                                                   // cli: SeaBIOS writes there, too
        0xbe, 0x00, 0x80, 0xba, 0xf8, 0x03,                                     // its bytes, up to a zero,
        0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8,                         // go to ttyS0
        0xb0, 0x15, 0xba, 0xf4, 0x00, 0xee, 0xf4, 0xeb, 0xfd,                   // out 0xf4, 0x15; hlt
    ];
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(&code);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[512..528].copy_from_slice(b"from sector two\n");
    disk
}

/// SeaBIOS boots [`disk`] on a machine with these besides: how kiln ended, and the firmware's log. `None`: it cannot here.
fn seabios(name: &str, more: &[&str]) -> Option<(Output, String)> {
    if !have_kvm(name) {
        return None;
    }
    if !Path::new(SEABIOS).exists() {
        println!("SKIPPED {name}: there is no {SEABIOS}");
        return None;
    }
    let dir = scratch();
    let disk = file(&dir, "disk.img", &disk());
    let log = dir.path().join("log");
    let mut command = kiln();
    command.arg("run").arg(&disk).args(["--firmware", "seabios", "--debug-exit", "0xf4", "--timeout", "300s"]);
    let o = command.args(more).arg("--firmware-log").arg(&log).output().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(o.status.code(), Some(0x15 << 1 | 1), "{}\n{said}", stderr(&o));
    Some((o, said))
}

#[test]
fn seabios_boots_a_disk_and_boots_it_again_after_a_reset() {
    let Some((o, said)) = seabios("SeaBIOS boots a disk", &[]) else { return };
    let screen = String::from_utf8_lossy(&o.stdout);
    assert!(screen.contains("Booting from Hard Disk"), "{screen}");
    assert!(screen.contains("from sector two\n"), "{screen}");
    assert_eq!(said.matches("Running on QEMU (i440fx)").count(), 2, "{said}");
    assert!(said.contains("1: /pci@i0cf8/scsi@2/disk@0,0"), "{said}");
    assert!(said.contains("ACPI: parse DSDT"), "{said}");
}

fn refused(args: &[&str]) -> String {
    let o: Output = kiln().arg("run").args(args).output().unwrap();
    assert_eq!((o.status.code(), o.stdout.len()), (Some(125), 0), "{args:?}: {}", stderr(&o));
    let said = stderr(&o);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let dir = scratch();
    let odd = file(&dir, "odd.bin", &[1; 1000]);
    let odd = odd.to_str().unwrap();
    let said = refused(&["--firmware", odd]);
    assert!(
        said.contains(&format!("--firmware: firmware {odd}: has 1000 bytes, which are not a multiple of 64 KiB")),
        "{said}"
    );
    let mut bios = vec![0; 64 << 10];
    bios[(64 << 10) - 16] = 0xf4;
    let bios = file(&dir, "bios.bin", &bios);
    let bios = bios.to_str().unwrap();
    let said = refused(&["--firmware", bios, "--transport", "mmio"]);
    assert!(said.contains("--transport mmio"), "{said}");
    let nvram = dir.path().join("nvram");
    let said = refused(&["--firmware", bios, "--nvram", nvram.to_str().unwrap()]);
    assert!(said.contains("--nvram: ") && said.contains("has no variables") && !nvram.exists(), "{said}");
    let said = refused(&["--firmware", bios, "--firmware-log", "/nowhere/log"]);
    assert!(said.contains("--firmware-log: create /nowhere/log: No such file"), "{said}");
    let said = refused(&["/nowhere.img", "--firmware", bios]);
    assert!(said.contains("/nowhere.img"), "{said}");
}

/// The video BIOS that SeaBIOS is given draws on the graphics device's video memory.
#[test]
fn seabios_has_a_screen() {
    let Some((o, said)) = seabios("SeaBIOS has a screen", &["--gpu=1280x800"]) else { return };
    assert!(said.contains("bochs-display: id is 0xb0c5, good"), "{said}");
    assert!(said.contains("Turning on vga text mode console"), "{said}");
    assert!(String::from_utf8_lossy(&o.stdout).contains("from sector two\n"), "the serial port has it, too");
}
