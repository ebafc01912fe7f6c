//! How guests end, and the exit status that says so. Guests of a few instructions, on the host's own /dev/kvm.

mod support;

use support::*;

/// ACPI S5: SLP_TYP 5, SLP_EN in the PM1a control block.
const S5: u16 = 5 << 10 | 1 << 13;

fn ends(name: &str, code: &[Vec<u8>], args: &[&str]) -> Option<std::process::Output> {
    if !have_kvm(name) {
        return None;
    }
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&[code.concat(), HALT.to_vec()].concat()));
    Some(run(&guest, args))
}

#[test]
fn power_off_is_0_and_output_is_the_guests_alone() {
    let Some(o) = ends("power off", &[print("hello\n"), out16(0x604, S5)], &[]) else { return };
    assert_eq!((o.status.code(), o.stdout.as_slice(), stderr(&o).as_str()), (Some(0), &b"hello\n"[..], ""));
}

#[test]
fn debug_exit_gives_its_value() {
    for (value, status) in [(0, 1), (1, 3), (0x21, 0x43), (0x80, 1)] {
        let Some(o) = ends("debug exit", &[out(0xf4, value)], &["--debug-exit", "0xf4"]) else { return };
        assert_eq!(o.status.code(), Some(status), "{}", stderr(&o));
    }
}

#[test]
fn the_debug_exit_port_is_only_there_when_asked_for() {
    let Some(o) = ends("no debug exit", &[out(0xf4, 0), out16(0x604, S5)], &[]) else { return };
    assert_eq!(o.status.code(), Some(0), "{}", stderr(&o));
}

#[test]
fn every_reset_ends_with_0_under_reboot_exit() {
    for (port, value) in [(0xcf9, 6), (0x64, 0xfe)] {
        let Some(o) = ends("reset", &[out(port, value)], &["--reboot", "exit"]) else { return };
        assert_eq!(o.status.code(), Some(0), "{port:#x}: {}", stderr(&o));
    }
}

/// The guest counts its lives in the CMOS, which a reset leaves alone: index 0x40.
fn three_lives(reset: &[u8]) -> Vec<u8> {
    let mut code = [print("boot\n"), out(0x70, 0x40)].concat();
    // in al, 0x71; inc al; out 0x71, al; cmp al, 3
    code.extend([0xe4, 0x71, 0xfe, 0xc0, 0xe6, 0x71, 0x3c, 0x03]);
    // jae over the reset
    code.extend([0x73, reset.len() as u8]);
    code.extend(reset);
    code.extend(out16(0x604, S5));
    code
}

#[test]
fn a_reset_restarts_the_guest() {
    let halt = |code: Vec<u8>| [code, HALT.to_vec()].concat();
    // lidt [0x100000 + beyond]: no table; ud2
    let triple_fault = vec![0x0f, 0x01, 0x1d, 0x00, 0x00, 0x80, 0x00, 0x0f, 0x0b];
    for (name, reset) in
        [("cf9", halt(out(0xcf9, 6))), ("i8042", halt(out(0x64, 0xfe))), ("triple fault", triple_fault)]
    {
        let Some(o) = ends(name, &[three_lives(&reset)], &["--reboot", "restart"]) else { return };
        assert_eq!(
            (o.status.code(), o.stdout.as_slice()),
            (Some(0), &b"boot\nboot\nboot\n"[..]),
            "{name}: {}",
            stderr(&o)
        );
    }
}

#[test]
fn a_triple_fault_is_254_with_the_state_of_the_processor() {
    let code = vec![0x0f, 0x01, 0x1d, 0x00, 0x00, 0x80, 0x00, 0x0f, 0x0b];
    let Some(o) = ends("triple fault", &[code], &[]) else { return };
    let text = stderr(&o);
    assert_eq!(o.status.code(), Some(254), "{text}");
    for part in ["triple fault", "rip", "cr3", "ud2"] {
        assert!(text.to_lowercase().contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn a_panic_is_255_however_the_guest_goes_on() {
    let line = print("[    0.1] Kernel panic - not syncing: no init\n");
    let cases: [(&str, Vec<Vec<u8>>); 5] = [
        ("hangs", vec![line.clone()]),
        ("resets", vec![line.clone(), out(0xcf9, 6)]),
        ("powers off", vec![line.clone(), out16(0x604, S5)]),
        ("prints its end", vec![line, print("---[ end Kernel panic - not syncing: no init ]---\n")]),
        ("pvpanic", vec![out(0x505, 1)]),
    ];
    for (name, code) in cases {
        let Some(o) = ends("panic", &code, &["--reboot", "restart"]) else { return };
        assert_eq!(o.status.code(), Some(255), "{name}: {}", stderr(&o));
        assert_eq!(stderr(&o), "kiln: the guest panicked\n", "{name}");
    }
}

#[test]
fn a_timeout_is_124() {
    let Some(o) = ends("timeout", &[print("x")], &["--timeout", "300ms"]) else { return };
    assert_eq!((o.status.code(), o.stdout.as_slice()), (Some(124), &b"x"[..]), "{}", stderr(&o));
}
