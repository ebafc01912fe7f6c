//! A CD-ROM: packet commands by PIO and by DMA.

use super::*;

impl Guest {
    /// Gives a packet command; what comes back by PIO, or the error register.
    fn packet(&self, packet: &[u8], limit: u16) -> Result<Vec<u8>, u8> {
        let [low, high] = limit.to_le_bytes();
        self.registers([0, 0, 0, low, high, 0xb0]);
        self.command(0xa0);
        assert_eq!((self.alternate(), self.read(PRIMARY + 2), self.lines[0].up()), (0x58, 1, false));
        let mut bytes = packet.to_vec();
        bytes.resize(12, 0);
        self.give(&bytes);
        let mut got = Vec::new();
        loop {
            let status = self.interrupted();
            match (status, self.read(PRIMARY + 2)) {
                (0x50, 3) => return Ok(got),
                (0x58, 2) => {
                    let now = u16::from_le_bytes([self.read(PRIMARY + 4), self.read(PRIMARY + 5)]);
                    assert!(now > 0 && (limit == 0 || now <= limit));
                    let mut piece = self.take(usize::from(now).next_multiple_of(2));
                    piece.truncate(usize::from(now));
                    got.extend(piece);
                }
                (0x51, 3) => return Err(self.read(PRIMARY + 1)),
                other => panic!("{other:x?}"),
            }
        }
    }

    fn packet_dma(&self, packet: &[u8], entries: &[(u64, u32)]) -> u8 {
        self.table(entries);
        self.registers([1, 0, 0, 0, 0, 0xb0]);
        self.command(0xa0);
        let mut bytes = packet.to_vec();
        bytes.resize(12, 0);
        self.give(&bytes);
        self.start();
        let status = self.interrupted();
        assert_eq!(self.read(PRIMARY + 2), 3);
        status
    }

    fn sense(&self) -> (u8, u8) {
        let sense = self.packet(&[3, 0, 0, 0, 18], 0xfffe).unwrap();
        assert_eq!((sense.len(), sense[0]), (18, 0x70));
        (sense[2], sense[12])
    }
}

#[test]
fn it_says_what_it_is() {
    let g = Guest::new();
    g.select(1);
    g.command(0xec);
    assert_eq!((g.interrupted(), g.read(PRIMARY + 1)), (0x51, 4), "not IDENTIFY DEVICE");
    assert_eq!([4, 5].map(|at| g.read(PRIMARY + at)), [0x14, 0xeb]);
    g.command(0xa1);
    assert_eq!(g.interrupted(), 0x58);
    let words: Vec<u16> = g.take(512).chunks(2).map(|w| u16::from_le_bytes([w[0], w[1]])).collect();
    assert_eq!((words[0], words[49] & 0x300, words[63] & 7), (0x85c0, 0x300, 7));
    let inquiry = g.packet(&[0x12, 0, 0, 0, 36], 0xfffe).unwrap();
    assert_eq!((inquiry.len(), inquiry[0], inquiry[1], &inquiry[8..12]), (36, 5, 0x80, &b"KILN"[..]));
    assert_eq!(g.packet(&[0x12, 0, 0, 0, 5], 0xfffe).unwrap(), inquiry[..5]);
    assert_eq!(g.packet(&[0x12, 1, 0x80, 0, 36], 0xfffe), Err(0x54));
    assert_eq!(g.sense(), (5, 0x24));
    assert_eq!(g.sense(), (0, 0), "it is told once");
}

#[test]
fn it_reads_by_pio_in_pieces_of_any_size() {
    let g = Guest::new();
    for (op, count, limit) in
        [(0x28, 40, 2048), (0x28, 33, 0xfffe), (0xa8, 5, 0), (0x28, 3, 1000), (0x28, 1, 2), (0xa8, 70, 0xffff)]
    {
        let packet = match op {
            0x28 => [0x28, 0, 0, 0, 0, 7, 0, 0, count, 0, 0, 0],
            _ => [0xa8, 0, 0, 0, 0, 7, 0, 0, 0, count, 0, 0],
        };
        let got = g.packet(&packet, limit).unwrap();
        assert!(got == g.disc.bytes.lock()[7 * 2048..][..usize::from(count) * 2048], "{packet:x?}");
    }
    assert_eq!(g.packet(&[0x28, 0, 0, 0, 0, 7, 0, 0, 0], 2048), Ok(vec![]), "nothing is asked for");
}

#[test]
fn it_reads_by_dma() {
    let g = Guest::new();
    let status = g.packet_dma(&[0x28, 0, 0, 0, 1, 0, 0, 0, 64], &[(DATA, 0x1_0000), (DATA + 0x1_0000, 0x1_0000)]);
    assert_eq!((status, g.stop()), (0x50, 4));
    assert_eq!(g.ram(DATA, 0x2_0000), g.disc.bytes.lock()[256 * 2048..][..0x2_0000]);
    // So do the answers to other commands; room is left over.
    let status = g.packet_dma(&[0x25], &[(DATA, 0x1000)]);
    assert_eq!((status, g.stop()), (0x50, 5));
    assert_eq!(g.ram(DATA, 8), [((SIZE / 2048 - 1) as u32).to_be_bytes(), 2048u32.to_be_bytes()].concat());
    g.is_well();
}

#[test]
fn wrong_requests_are_told_why() {
    let g = Guest::new();
    let last = (SIZE / 2048) as u8;
    for (packet, sense) in [
        (vec![0x28, 0, 0, 0, ((SIZE / 2048) >> 8) as u8, last, 0, 0, 1], (5, 0x21)),
        (vec![0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], (5, 0x21)),
        (vec![0x2a, 0, 0, 0, 0, 0, 0, 0, 1], (5, 0x20)),
        (vec![0x43, 0, 7], (5, 0x24)),
        (vec![0x5a, 0, 0x10], (5, 0x24)),
        (vec![0x4a], (5, 0x24)),
        (vec![0xff], (5, 0x20)),
    ] {
        assert_eq!(g.packet(&packet, 2048), Err(0x54), "{packet:x?}");
        assert_eq!(g.sense(), sense, "{packet:x?}");
    }
    g.disc.broken.store(1, Ordering::SeqCst);
    assert_eq!(g.packet(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1], 2048), Err(0x30));
    assert_eq!(g.sense(), (3, 0x11));
    assert_eq!(*g.disc.bytes.lock(), pattern(2));
    assert_eq!(g.packet(&[0], 0), Ok(vec![]), "TEST UNIT READY");
}

#[test]
fn the_disc_has_one_track() {
    let g = Guest::new();
    let end = (SIZE / 2048) as u32;
    let toc = g.packet(&[0x43, 0, 0, 0, 0, 0, 0, 0, 100], 100).unwrap();
    assert_eq!(toc[..4], [0, 18, 1, 1]);
    assert_eq!((&toc[4..12], &toc[12..16]), (&[0, 0x14, 1, 0, 0, 0, 0, 0][..], &[0, 0x14, 0xaa, 0][..]));
    assert_eq!(toc[16..], end.to_be_bytes());
    let toc = g.packet(&[0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100], 100).unwrap();
    let frames = end + 150;
    assert_eq!(
        toc[4..],
        [0, 0x14, 0xaa, 0, 0, (frames / 75 / 60) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8]
    );
    let session = g.packet(&[0x43, 0, 1, 0, 0, 0, 0, 0, 12], 100).unwrap();
    assert_eq!(session, [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn it_answers_what_systems_ask() {
    let g = Guest::new();
    let mode = g.packet(&[0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 200], 200).unwrap();
    assert_eq!((mode.len(), mode[1], mode[8], mode[9]), (28, 26, 0x2a, 18));
    assert_eq!(g.packet(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 200], 200).unwrap().len(), 36);
    let event = g.packet(&[0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8], 8).unwrap();
    assert_eq!(event, [0, 6, 4, 0x10, 0, 2, 0, 0]);
    let all = g.packet(&[0x46, 0, 0, 0, 0, 0, 0, 0, 200], 200).unwrap();
    assert_eq!((all[3] as usize + 4, &all[6..8]), (all.len(), &[0, 8][..]), "a CD-ROM");
    let one = g.packet(&[0x46, 2, 0, 3, 0, 0, 0, 0, 200], 200).unwrap();
    assert_eq!((one.len(), &one[8..12]), (16, &[0, 3, 3, 4][..]));
    assert_eq!(g.packet(&[0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8], 8).unwrap().len(), 8);
    // The tray stays closed while it is locked.
    assert_eq!(g.packet(&[0x1e, 0, 0, 0, 1], 0), Ok(vec![]));
    assert_eq!(g.packet(&[0x1b, 0, 0, 0, 2], 0), Err(0x54));
    assert_eq!(g.sense(), (5, 0x53));
    assert_eq!(g.packet(&[0x1e, 0, 0, 0, 0], 0), Ok(vec![]));
    assert_eq!(g.packet(&[0x1b, 0, 0, 0, 2], 0), Ok(vec![]));
}

#[test]
fn device_reset_ends_what_it_is_at() {
    let g = Guest::new();
    g.registers([0, 0, 0, 0, 8, 0xb0]);
    g.command(0xa0);
    g.give(&[0x28, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
    assert_eq!(g.interrupted(), 0x58);
    g.command(8);
    assert_eq!((g.alternate(), g.lines[0].up()), (0, false));
    assert_eq!([2, 3, 4, 5].map(|at| g.read(PRIMARY + at)), [1, 1, 0x14, 0xeb]);
    assert_eq!(g.packet(&[0], 0), Ok(vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Any packet is answered or refused, by PIO in bounded pieces or by DMA.
    #[test]
    fn every_packet_ends(mut packet in prop::collection::vec(any::<u8>(), 12), op in 0usize..16, limit in 2u16.., dma: bool) {
        const KNOWN: [u8; 15] = [0, 3, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0xa8, 0x43, 0x46, 0x4a, 0x5a, 0xbd, 0xbe, 0x2b];
        packet[0] = KNOWN.get(op).copied().unwrap_or(packet[0]);
        // Small numbers, so that some are on the disc.
        if packet[1] % 2 == 0 {
            (packet[2], packet[3]) = (0, 0);
            packet[4] %= 8;
            packet[6..9].iter_mut().for_each(|byte| *byte %= 2);
        }
        let g = Guest::new();
        if dma {
            g.packet_dma_or_short(&packet);
        } else {
            let _ = g.packet(&packet, limit & !1);
        }
        g.is_well();
    }
}

impl Guest {
    fn packet_dma_or_short(&self, packet: &[u8]) {
        self.table(&[(DATA, 0x1_0000)]);
        self.registers([1, 0, 0, 0, 0, 0xb0]);
        self.command(0xa0);
        self.give(packet);
        self.start();
        self.until("its end", |g| g.alternate() & (BSY | DRQ) == 0);
        self.stop();
    }
}
