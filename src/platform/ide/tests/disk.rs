//! A disk: PIO, DMA, errors, settings.

use super::*;

const SECTORS: u32 = (SIZE / 512) as u32;

fn identify(g: &Guest) -> Vec<u16> {
    g.lba28(0xec, 0, 0);
    assert_eq!(g.interrupted(), 0x58);
    let words = g.take(512).chunks(2).map(|w| u16::from_le_bytes([w[0], w[1]])).collect();
    assert_eq!(g.alternate(), 0x50);
    words
}

#[test]
fn it_says_what_it_is() {
    let words = identify(&Guest::new());
    let text = |from: usize, to: usize| {
        let bytes = words[from..to].iter().flat_map(|w| w.to_be_bytes()).collect();
        String::from_utf8(bytes).unwrap().trim_end().to_string()
    };
    assert_eq!((text(10, 20), text(27, 47)), ("SN 42".to_string(), "KILN IDE DISK".to_string()));
    assert_eq!((words[0], words[1], words[3], words[6]), (0x40, 6, 16, 63));
    assert_eq!(u32::from(words[60]) | u32::from(words[61]) << 16, SECTORS);
    assert_eq!((words[100], words[83] & 0x7400, words[85] & 0x20, words[106] & 0xf), (SECTORS as u16, 0x7400, 0x20, 3));
    assert_eq!((words[49] & 0xb00, words[63] & 7, words[80]), (0xb00, 7, 0x70));
}

#[test]
fn reads_by_pio() {
    let g = Guest::new();
    for (command, ext, block) in [(0x20, false, 1), (0xc4, false, 16), (0x24, true, 1), (0x29, true, 16)] {
        match ext {
            true => g.lba48(command, 7, 40),
            false => g.lba28(command, 7, 40),
        }
        let mut left = 40usize;
        let mut got = Vec::new();
        while left > 0 {
            assert_eq!(g.interrupted(), 0x58, "{command:#x}");
            let now = left.min(block);
            got.extend(g.take(now * 512));
            left -= now;
        }
        assert_eq!((g.lines[0].up(), g.alternate()), (false, 0x50));
        assert_eq!(got, g.disk.bytes.lock()[7 * 512..47 * 512]);
    }
    // 0 is 256, and the data port takes 32 bits.
    g.lba28(0x20, 0, 0);
    for sector in 0..256 {
        assert_eq!(g.interrupted(), 0x58, "{sector}");
        let mut word = [0; 4];
        (0..128).for_each(|_| g.ports.read(PRIMARY, &mut word));
        assert_eq!(word, g.disk.bytes.lock()[sector * 512 + 508..][..4]);
    }
    assert_eq!(g.alternate(), 0x50);
    assert_eq!(g.take(2), [0xff; 2], "there is no more");
}

#[test]
fn reads_by_cylinder_head_and_sector() {
    let g = Guest::new();
    let read = |cylinder: u16, head: u8, sector: u8| {
        let [low, high] = cylinder.to_le_bytes();
        g.registers([0, 1, sector, low, high, 0xa0 | head]);
        g.command(0x20);
        let status = g.interrupted();
        (status == 0x58).then(|| g.take(512))
    };
    let at = |sector: usize| g.disk.bytes.lock()[sector * 512..][..512].to_vec();
    assert_eq!(read(2, 3, 4).unwrap(), at((2 * 16 + 3) * 63 + 3));
    assert_eq!(read(0, 0, 0), None, "the first sector is 1");
    // INITIALIZE DEVICE PARAMETERS: 4 heads, 17 sectors.
    g.registers([0, 17, 0, 0, 0, 0xa3]);
    g.command(0x91);
    assert_eq!(g.interrupted(), 0x50);
    assert_eq!(read(2, 3, 4).unwrap(), at((2 * 4 + 3) * 17 + 3));
    let words = identify(&g);
    assert_eq!((words[55], words[56]), (4, 17));
}

#[test]
fn writes_by_pio() {
    let g = Guest::new();
    for (command, ext, block) in [(0x30, false, 1), (0xc5, false, 16), (0x34, true, 1), (0x39, true, 16)] {
        let data: Vec<u8> = (0..40 * 512).map(|i| (i * 13 + usize::from(command)) as u8).collect();
        match ext {
            true => g.lba48(command, 9, 40),
            false => g.lba28(command, 9, 40),
        }
        assert_eq!((g.lines[0].up(), g.alternate()), (false, 0x58), "the first piece is wanted at once");
        for piece in data.chunks(block * 512) {
            g.give(piece);
            assert_eq!(g.interrupted() & 0xf1, 0x50, "{command:#x}");
        }
        assert_eq!(g.alternate(), 0x50);
        assert_eq!(g.disk.bytes.lock()[9 * 512..49 * 512], data);
    }
    assert_eq!(g.disk.flushes.load(Ordering::SeqCst), 0);
}

#[test]
fn transfers_by_dma() {
    let g = Guest::new();
    let data: Vec<u8> = (0..0x2_0000u32).map(|i| (i * 5 % 253) as u8).collect();
    // Pieces of a length that no sector has, 64 KiB written as 0, and a table that fits exactly.
    for entries in [
        &[(DATA, 0x1_0000), (DATA + 0x1_0000, 0x1_0000)][..],
        &[(DATA, 2), (DATA + 2, 0xfffe), (DATA + 0x1_0000, 0x300), (DATA + 0x1_0300, 0xfd00)],
    ] {
        for (read, write, ext) in [(0xc8, 0xca, false), (0x25, 0x35, true)] {
            let go = |command| if ext { g.lba48(command, 100, 256) } else { g.lba28(command, 100, 0) };
            g.memory.write(DATA, &data).unwrap();
            g.table(entries);
            go(write);
            assert_eq!(g.alternate(), 0x58, "it waits for the bus master");
            g.start();
            assert_eq!(g.interrupted(), 0x50);
            assert_eq!(g.stop(), 4, "it interrupted, and is not active");
            assert_eq!(g.disk.bytes.lock()[51200..][..0x2_0000], data);
            g.memory.slice(DATA, 0x2_0000).unwrap().fill(0);
            // The bus master may be there first.
            g.table(entries);
            g.start();
            go(read);
            assert_eq!(g.interrupted(), 0x50);
            assert_eq!(g.stop(), 4);
            assert_eq!(g.ram(DATA, 0x2_0000), data);
        }
        g.disk.bytes.lock()[51200..][..0x2_0000].fill(0);
    }
}

#[test]
fn a_table_that_does_not_fit_is_told_as_the_specification_has_it() {
    let g = Guest::new();
    // Longer: the bus master stays active.
    g.table(&[(DATA, 0x2000)]);
    g.lba28(0xc8, 0, 8);
    g.start();
    assert_eq!((g.interrupted(), g.stop()), (0x50, 5));
    // Shorter: no interrupt, nothing is moved.
    g.memory.slice(DATA, 0x2000).unwrap().fill(0);
    g.table(&[(DATA, 0x200)]);
    g.lba28(0xc8, 0, 8);
    g.start();
    assert_eq!((g.lines[0].up(), g.alternate(), g.stop(), g.ram(DATA, 16)), (false, 0x50, 0, vec![0; 16]));
    // Nowhere: an error.
    for entries in [&[(MEMORY - 0x100, 0x1000)][..], &[(0xffff_fffe, 0x1000)], &[(DATA, 0x200), (MEMORY, 0x1000)]] {
        g.table(entries);
        g.lba28(0xc8, 0, 8);
        g.start();
        assert_eq!((g.interrupted(), g.stop(), g.read(PRIMARY + 1)), (0x51, 6, 4), "{entries:x?}");
    }
    g.ports.write(MASTER + 4, &0xffff_fff0u32.to_le_bytes());
    g.lba28(0xca, 0, 8);
    g.start();
    assert_eq!((g.interrupted(), g.stop() & 2), (0x51, 2), "the table itself");
    // A table without an end, of the smallest pieces there are.
    (0..0x1_0000u64 / 8).for_each(|i| g.memory.write(TABLE + 8 * i, &[0, 0, 0x10, 0, 2, 0, 0, 0]).unwrap());
    g.ports.write(MASTER + 4, &(TABLE as u32).to_le_bytes());
    g.write(MASTER + 2, 6);
    g.lba48(0x25, 0, 4000);
    g.start();
    assert_eq!((g.lines[0].up(), g.stop() & 3), (false, 0));
    g.is_well();
}

#[test]
fn what_is_not_on_the_disk_is_not_found() {
    let g = Guest::new();
    for command in [0x20, 0x30, 0xc8, 0xca, 0x40] {
        for (first, count) in [(SECTORS, 1), (SECTORS - 1, 2), (0x0fff_ffff, 1), (SECTORS - 255, 0)] {
            g.lba28(command, first, count);
            assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x51, 0x10), "{command:#x} {first}");
        }
    }
    g.lba48(0x25, (1 << 48) - 1, 0);
    assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x51, 0x10));
    g.lba28(0x40, SECTORS - 1, 1);
    assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x50, 0));
}

#[test]
fn what_it_does_not_know_it_refuses() {
    let g = Guest::new();
    for command in [0x00, 0xb0, 0xa0, 0xa1, 0xf5, 0x06, 0x08, 0xff] {
        g.lba28(command, 0, 1);
        assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x51, 4), "{command:#x}");
    }
    for (features, count, ok) in
        [(3, 0x22, true), (3, 0x45, false), (2, 0, true), (0x82, 0, true), (0xaa, 0, true), (0x77, 0, false)]
    {
        g.registers([features, count, 0, 0, 0, 0xe0]);
        g.command(0xef);
        assert_eq!(g.interrupted() & ERR == 0, ok, "{features:#x}");
    }
    assert_eq!(identify(&g)[85] & 0x20, 0, "the write cache is off");
    for (multiple, ok) in [(8, true), (3, false), (32, false), (0, true)] {
        g.registers([0, multiple, 0, 0, 0, 0xe0]);
        g.command(0xc6);
        assert_eq!(g.interrupted() & ERR == 0, ok, "{multiple}");
    }
    g.lba28(0xc4, 0, 1);
    assert_eq!(g.interrupted() & ERR, ERR, "it is switched off");
}

#[test]
fn it_tells_its_size_and_that_it_is_awake() {
    let g = Guest::new();
    g.lba28(0xf8, 0, 0);
    g.interrupted();
    let last = (SECTORS - 1).to_le_bytes();
    assert_eq!([3, 4, 5, 6].map(|at| g.read(PRIMARY + at)), [last[0], last[1], last[2], 0xe0 | last[3]]);
    g.lba48(0x27, 0, 0);
    g.interrupted();
    assert_eq!([3, 4, 5].map(|at| g.read(PRIMARY + at)), last[..3]);
    g.write(CONTROL, 0x80);
    assert_eq!([3, 4, 5].map(|at| g.read(PRIMARY + at)), [0; 3]);
    g.write(CONTROL, 0);
    g.lba28(0xe5, 0, 0);
    g.interrupted();
    assert_eq!(g.read(PRIMARY + 2), 0xff);
}

#[test]
fn flushes_reach_the_image() {
    let flushes = |g: &Guest| g.disk.flushes.load(Ordering::SeqCst);
    let write = |g: &Guest| {
        g.lba28(0x30, 0, 1);
        g.give(&[7; 512]);
        assert_eq!(g.interrupted(), 0x50);
        g.table(&[(DATA, 512)]);
        g.lba28(0xca, 0, 1);
        g.start();
        assert_eq!(g.interrupted(), 0x50);
        g.stop();
    };
    let g = Guest::new();
    write(&g);
    assert_eq!(flushes(&g), 0);
    for command in [0xe7, 0xea] {
        g.lba28(command, 0, 0);
        assert_eq!(g.interrupted(), 0x50);
    }
    assert_eq!(flushes(&g), 2);
    g.registers([0x82, 0, 0, 0, 0, 0xe0]);
    g.command(0xef);
    assert_eq!((g.interrupted(), flushes(&g)), (0x50, 3), "what was written before is safe");
    write(&g);
    assert_eq!(flushes(&g), 5);
    let g = Guest::with(Cache::Writethrough, false);
    write(&g);
    assert_eq!(flushes(&g), 2);
    let g = Guest::with(Cache::Unsafe, false);
    write(&g);
    g.lba28(0xe7, 0, 0);
    assert_eq!((g.interrupted(), flushes(&g)), (0x50, 0));
}

#[test]
fn a_disk_that_may_not_be_written_is_not() {
    let g = Guest::with(Cache::Writeback, true);
    for command in [0x30, 0x34, 0xc5, 0x39, 0xca, 0x35] {
        g.lba28(command, 0, 1);
        assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x51, 4));
        g.give(&[0; 512]);
    }
    assert_eq!(*g.disk.bytes.lock(), pattern(1));
    g.is_well();
}

#[test]
fn an_image_that_fails_is_an_error_of_the_drive() {
    let g = Guest::new();
    g.disk.broken.store(1, Ordering::SeqCst);
    g.lba28(0x20, 0, 1);
    assert_eq!(g.interrupted(), 0x51);
    g.lba28(0x30, 0, 1);
    g.give(&[0; 512]);
    assert_eq!(g.interrupted(), 0x51);
    for command in [0xc8, 0xca] {
        g.table(&[(DATA, 512)]);
        g.lba28(command, 0, 1);
        g.start();
        assert_eq!((g.interrupted(), g.stop()), (0x51, 4));
    }
    g.lba28(0xe7, 0, 0);
    assert_eq!(g.interrupted(), 0x51);
    g.disk.broken.store(0, Ordering::SeqCst);
    g.is_well();
}
