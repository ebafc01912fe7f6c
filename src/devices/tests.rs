//! What every row of [`KINDS`] must do, over every transport. A new device gets these by being listed.

use super::*;
use crate::virtio::guest::*;
use std::sync::Arc;

fn everywhere(mut test: impl FnMut(&Kind, Guest)) {
    for kind in KINDS {
        for over in WAYS.into_iter().chain(LEGACY) {
            if over.legacy() && !matches!(kind.name, "disk" | "net") {
                continue;
            }
            println!("--{} over {over:?}", kind.name);
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            let sample = kind.sample.replace("{tmp}", &file.path().display().to_string());
            let options = Options::parse(&sample, kind.positional()).unwrap();
            let built = (kind.build)(&options, &Host::new(Arc::new(|_| {}))).unwrap();
            test(kind, Guest::with(built.into_virtio(), over));
        }
    }
}

/// Starts from scratch with rings that are in order, and finds the device well.
fn is_well(g: &mut Guest) {
    g.boot();
    for queue in 0..g.queues() {
        g.kick(queue);
    }
    // Answered by the worker, so it comes after its first look at the queues.
    let mut byte = [0];
    g.config_read(0, &mut byte);
    g.config_write(0, &byte);
    assert_eq!(g.status(), g.over.running(), "{:?}", g.over);
}

#[test]
fn negotiates_and_starts() {
    everywhere(|_, mut g| {
        assert!(g.queues() > 0);
        assert_eq!(g.offered() & VERSION_1 == 0, g.over.legacy());
        assert_eq!(g.part.name(), "test0");
        is_well(&mut g);
        g.set_status(0);
        assert_eq!(g.status(), 0);
        is_well(&mut g);
    });
}

#[test]
fn features_that_were_not_offered_are_refused() {
    everywhere(|_, mut g| {
        if g.over.legacy() {
            return;
        }
        let offered = g.offered();
        assert!(!g.negotiate(offered & !VERSION_1), "without VERSION_1");
        g.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        assert_eq!(g.status(), ACKNOWLEDGE | DRIVER, "DRIVER_OK without FEATURES_OK");
        for bit in (0..64).map(|n| 1u64 << n).filter(|bit| offered & bit == 0) {
            assert!(!g.negotiate(offered | bit), "feature {bit:#x}");
        }
        g.set_status(0);
        g.set_status(ACKNOWLEDGE | DRIVER);
        g.accept(0, offered as u32);
        g.accept(1, (offered >> 32) as u32);
        g.accept(2, 1);
        g.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_eq!(g.status() & FEATURES_OK, 0, "feature 64");
        assert!(g.negotiate(VERSION_1), "only VERSION_1");
        is_well(&mut g);
    });
}

/// The legacy interface has no way to say no (virtio 1.2, 2.2.3).
#[test]
fn a_legacy_driver_gets_what_was_offered_of_what_it_wants() {
    everywhere(|kind, mut g| {
        if !g.over.legacy() {
            return;
        }
        let offered = g.offered();
        assert_eq!(offered >> 27 & 1, 1, "any layout");
        g.boot_with(u64::from(u32::MAX), LEGACY_SIZE);
        assert_eq!(u64::from(u32::from_le_bytes(g.port(4))), offered, "--{}", kind.name);
        is_well(&mut g);
        // A ring that is nowhere.
        assert!(g.negotiate(offered));
        g.enable(0, [MEMORY, 0, 0]);
        g.set_status(g.over.running());
        assert_ne!(g.status() & NEEDS_RESET, 0);
        assert!(g.told());
        is_well(&mut g);
    });
}

#[test]
fn status_bits_are_never_cleared_but_by_a_reset() {
    everywhere(|_, mut g| {
        g.boot();
        let running = g.status();
        g.set_status(DRIVER);
        assert_eq!(g.status(), running);
        g.set_status(running | NEEDS_RESET);
        assert_eq!(g.status(), running, "only the device asks for a reset");
        g.part.reset().unwrap();
        g.discover_again();
        assert_eq!(g.status(), 0);
    });
}

#[test]
fn a_broken_ring_stops_it_and_a_reset_revives_it() {
    everywhere(|_, mut g| {
        g.boot();
        for queue in 0..g.queues() {
            g.mem.write(g.areas(queue)[1] + 2, &999u16.to_le_bytes()).unwrap();
            g.kick(queue);
        }
        g.until("needs a reset", |g| g.status() & NEEDS_RESET != 0);
        g.until("tells the driver", Guest::told);
        g.config_write(0, &[1]);
        is_well(&mut g);
    });
}

#[test]
fn a_ring_that_is_not_in_memory_is_found_at_once() {
    everywhere(|_, mut g| {
        if g.over.legacy() {
            return;
        }
        for wrong in
            [[MEMORY, 0, 0], [0, MEMORY - 2, 0], [0, 0, MEMORY], [0, 0, 1 << 63], [8, 0, 0], [0, 1, 0], [0, 0, 2]]
        {
            assert!(g.negotiate(g.offered()));
            g.set_up_queues(16);
            g.negotiate(g.offered());
            let good = g.areas(0);
            let areas = [0, 1, 2].map(|i| good[i].wrapping_add(wrong[i]));
            g.enable(0, areas);
            g.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
            assert_ne!(g.status() & NEEDS_RESET, 0, "{areas:x?}");
            assert!(g.told());
        }
        is_well(&mut g);
    });
}

/// A picture of guest memory.
fn picture(g: &Guest) -> Vec<u8> {
    let mut out = vec![0; MEMORY as usize];
    g.mem.slice(0, MEMORY as usize).unwrap().copy_to(&mut out);
    out
}

#[test]
fn after_a_reset_it_touches_nothing() {
    everywhere(|kind, mut g| {
        let resets: [fn(&Guest); 2] = [|g| g.set_status(0), |g| g.part.reset().unwrap()];
        for reset in resets {
            g.boot();
            for queue in 0..g.queues() {
                g.send(queue, &[(DATA, 64, true), (DATA + 0x1000, 4096, true)]);
            }
            reset(&g);
            assert!(g.doors.attached().is_empty());
            g.discover_again();
            for queue in 0..g.queues() {
                g.send(queue, &[(DATA + 0x3000, 64, true)]);
            }
            let before = picture(&g);
            // Starting it again, without queues, and stopping it gives it every chance.
            assert!(g.negotiate(g.offered()));
            g.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
            (0..g.queues()).for_each(|queue| g.kick(queue));
            g.set_status(0);
            assert!(picture(&g) == before, "--{} over {:?}", kind.name, g.over);
        }
    });
}

#[test]
fn every_queue_size_works_and_others_are_ignored() {
    everywhere(|_, mut g| {
        if g.over.legacy() {
            return;
        }
        let largest = (0..g.queues()).map(|q| g.max_size(q)).max().unwrap();
        for size in (0..16).map(|n| 1 << n).filter(|size| *size <= largest) {
            let features = g.offered();
            g.boot_with(features, size);
            for queue in 0..g.queues() {
                g.kick(queue);
            }
            g.config_write(0, &[0]);
            assert_eq!(g.status() & NEEDS_RESET, 0, "size {size}");
        }
        g.set_status(0);
        let max = g.max_size(0);
        for size in [0, 3, max - 1, max * 2, 0xffff] {
            g.set_size(0, size);
            assert_eq!(g.max_size(0), max, "{size}");
        }
    });
}

#[test]
fn kicks_need_no_exit_while_it_runs() {
    everywhere(|_, mut g| {
        assert!(g.doors.attached().is_empty(), "before the driver drives it");
        g.boot();
        let queues = usize::from(g.queues());
        assert_eq!(g.doors.attached().len(), queues);
        g.set_status(0);
        assert!(g.doors.attached().is_empty());
    });
}

/// Requests that get far enough to reach the device, and are wrong in every way that is left.
#[test]
fn hostile_requests_never_kill_it() {
    let mut dice = Dice::new();
    everywhere(|kind, mut g| {
        let (queues, offered) = (g.queues(), g.offered());
        for _ in 0..150 {
            let features = VERSION_1 | offered & dice.roll(u64::MAX);
            g.boot_with(features, 1 << dice.roll(8));
            let mut junk = vec![0; 0x1000];
            for byte in &mut junk {
                let most = if dice.one_in(4) { 256 } else { 3 };
                *byte = dice.roll(most) as u8;
            }
            g.mem.write(DATA, &junk).unwrap();
            for _ in 0..dice.roll(8) {
                let queue = dice.roll(u64::from(queues)) as u16;
                attack(&mut g, queue, &mut dice);
                disturb(&g, &mut dice);
            }
        }
        is_well(&mut g);
        assert!(!kind.about.is_empty());
    });
}

/// One request of up to five descriptors, sometimes through an indirect table.
fn attack(g: &mut Guest, queue: u16, dice: &mut Dice) {
    let direct = g.areas(queue)[0];
    let count = 1 + dice.roll(5) as u16;
    let indirect = dice.one_in(3);
    let table = if indirect { DATA + 0x8000 } else { direct };
    let mut write = false;
    for i in 0..count {
        write |= dice.one_in(2);
        let mut flags = if i + 1 < count { NEXT } else { 0 } | if write { WRITE } else { 0 };
        let (mut addr, mut next) = (DATA + dice.roll(0x1000), i + 1);
        let mut len = [0, 1, 8, 12, 16, 512, 4096, 0x10000][dice.roll(8) as usize] + dice.roll(3) as u32;
        if dice.one_in(12) {
            addr = [MEMORY - 1, MEMORY, u64::MAX, 0][dice.roll(4) as usize];
        }
        if dice.one_in(12) {
            len = dice.roll(1 << 32) as u32;
        }
        if dice.one_in(16) {
            (flags, next) = (dice.roll(8) as u16, dice.roll(1 << 16) as u16);
        }
        g.write_desc(table, i, (addr, len, flags, next));
    }
    if indirect {
        let len = if dice.one_in(8) { dice.roll(1 << 20) as u32 } else { 16 * u32::from(count) };
        g.write_desc(direct, 0, (table, len, INDIRECT | dice.roll(2) as u16, 0));
    }
    g.offer(queue, if dice.one_in(20) { dice.roll(1 << 16) as u16 } else { 0 });
    g.kick(queue);
}

/// Writes of any width anywhere in the configuration space, and at the queue's registers while it runs.
fn disturb(g: &Guest, dice: &mut Dice) {
    let data = dice.roll(u64::MAX).to_le_bytes();
    let len = [1, 2, 4, 8, 3][dice.roll(5) as usize];
    g.config_write(dice.roll(0x108), &data[..len]);
    g.config_read(dice.roll(0x108), &mut [0; 8][..len]);
    if dice.one_in(4) {
        g.set_size(dice.roll(4) as u16, dice.roll(1 << 16) as u16);
        g.enable(dice.roll(4) as u16, [dice.roll(u64::MAX), DATA, DATA]);
    }
    if dice.one_in(4) {
        g.kick(dice.roll(1 << 10) as u16);
    }
}

#[test]
fn every_device_is_documented() {
    let docs = include_str!("../../docs/devices.md");
    for kind in KINDS {
        assert!(docs.contains(&format!("| `--{}` |", kind.name)), "docs/devices.md has no row for --{}", kind.name);
        assert!(!kind.about.is_empty() && kind.about.ends_with('.'), "--{} says what it is", kind.name);
        for option in kind.options {
            assert!(!option.help.is_empty(), "--{} {}=", kind.name, option.name);
        }
    }
}
