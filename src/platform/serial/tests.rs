use super::*;
use crate::host::stream::Ready;
use crate::platform::rig::{Wire, accesses, read8};
use proptest::prelude::*;

/// The other end of the cable.
#[derive(Default)]
struct Cable {
    sent: Lock<Vec<u8>>,
    waiting: Lock<Vec<u8>>,
    ready: Lock<Option<Ready>>,
}

impl Stream for Cable {
    fn write(&self, data: &[u8]) {
        self.sent.lock().extend(data);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        let mut waiting = self.waiting.lock();
        let n = buf.len().min(waiting.len());
        buf[..n].copy_from_slice(&waiting[..n]);
        waiting.drain(..n);
        n
    }

    fn listen(&self, ready: Ready) {
        assert!(self.ready.lock().replace(ready).is_none(), "listens once");
    }
}

struct Rig {
    serial: Arc<Serial>,
    wire: Arc<Wire>,
    cable: Arc<Cable>,
}

const DATA: u64 = 0;
const IER: u64 = 1;
const IIR: u64 = 2;
const FCR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

impl Rig {
    fn new() -> Rig {
        let (wire, cable) = (Wire::new(), Arc::<Cable>::default());
        Rig { serial: Serial::new("serial0", wire.clone(), cable.clone()), wire, cable }
    }

    fn out(&self, at: u64, value: u8) {
        self.serial.write(at, &[value]);
    }

    fn get(&self, at: u64) -> u8 {
        read8(&*self.serial, at)
    }

    fn typed(&self, text: &[u8]) {
        self.cable.waiting.lock().extend(text);
        let ready = self.cable.ready.lock().clone();
        if let Some(ready) = ready {
            ready();
        }
    }

    fn sent(&self) -> Vec<u8> {
        std::mem::take(&mut *self.cable.sent.lock())
    }

    /// As Linux's driver leaves a port that is open.
    fn started(&self) {
        self.linux_startup();
        self.out(IER, 0x05);
        self.out(FCR, 0x01);
        self.out(FCR, 0x81);
    }

    fn linux_clear_fifos(&self) {
        self.out(FCR, 1);
        self.out(FCR, 7);
        self.out(FCR, 0);
    }

    /// serial8250_do_startup.
    fn linux_startup(&self) {
        self.linux_clear_fifos();
        for at in [LSR, DATA, IIR, MSR] {
            self.get(at);
        }
        // The THRE test: its interrupt comes again when it is enabled again.
        self.out(IER, 2);
        let first = self.get(IIR);
        self.out(IER, 0);
        self.out(IER, 2);
        let again = self.get(IIR);
        self.out(IER, 0);
        assert_eq!((first & 0xf, again & 0xf), (2, 2), "UART_BUG_THRE");
        self.out(LCR, 3);
        self.out(MCR, 0x0b);
        // The test for UART_BUG_TXEN.
        self.out(IER, 2);
        let (lsr, iir) = (self.get(LSR), self.get(IIR));
        self.out(IER, 0);
        assert_eq!((lsr & 0x60, iir & 1), (0x60, 0), "UART_BUG_TXEN");
        for at in [LSR, DATA, IIR, MSR] {
            self.get(at);
        }
    }

    /// autoconfig and autoconfig_16550a of Linux.
    fn linux_autoconfig(&self) {
        self.out(IER, 0);
        let none = self.get(IER) & 0xf;
        self.out(IER, 0xf);
        let all = self.get(IER) & 0xf;
        self.out(IER, 0);
        assert_eq!((none, all), (0, 0xf), "there is a port");
        self.out(MCR, 0x10 | 0x0a);
        assert_eq!(self.get(MSR) & 0xf0, 0x90, "loopback");
        self.out(MCR, 0);
        self.out(LCR, 0xbf);
        self.out(FCR, 0);
        self.out(LCR, 0);
        self.out(FCR, 1);
        assert_eq!(self.get(IIR) >> 6, 3, "a 16550A");
        // No EFR (it would read as zero after zero was written), no EXCR1 that mirrors the loop bit.
        self.out(LCR, 0xbf);
        assert_ne!(self.get(FCR), 0);
        self.out(LCR, 0);
        let mcr = self.get(MCR);
        self.out(LCR, 0xe0);
        let before = self.get(2);
        self.out(LCR, 0);
        self.out(MCR, mcr ^ 0x10);
        self.out(LCR, 0xe0);
        let after = self.get(2);
        self.out(LCR, 0);
        self.out(MCR, mcr);
        assert_eq!((before ^ after) & 0x10, 0, "no NS16550A");
        // No 64 byte FIFO (bit 5 of IIR), with DLAB or without.
        for lcr in [0, 0x80] {
            self.out(LCR, lcr);
            self.out(FCR, 0x21);
            assert_eq!(self.get(IIR) >> 5, 6);
            self.out(FCR, 1);
        }
        self.out(LCR, 0);
        // No UUE bit (XScale).
        self.out(IER, 0x40);
        assert_eq!(self.get(IER), 0);
        assert_eq!(self.linux_fifo_size(), 16);
        self.linux_clear_fifos();
        self.get(DATA);
        self.out(IER, 0);
    }

    /// size_fifo of Linux: how much loops back.
    fn linux_fifo_size(&self) -> usize {
        let (lcr, mcr) = (self.get(LCR), self.get(MCR));
        self.out(FCR, 7);
        self.out(MCR, 0x10);
        self.out(LCR, 0x80);
        self.out(DATA, 1);
        self.out(IER, 0);
        self.out(LCR, 3);
        (0..=255).for_each(|i| self.out(DATA, i));
        let mut count = 0;
        while self.get(LSR) & 1 != 0 && count < 256 {
            assert_eq!(usize::from(self.get(DATA)), count);
            count += 1;
        }
        self.out(MCR, mcr);
        self.out(LCR, lcr);
        count
    }
}

#[test]
fn linux_finds_a_16550a_and_loses_nothing_typed_before() {
    let rig = Rig::new();
    let text = b"typed long before the driver started";
    rig.typed(text);
    // Messages of the early console.
    for byte in b"early" {
        assert_eq!(rig.get(LSR) & 0x60, 0x60);
        rig.out(DATA, *byte);
    }
    rig.linux_autoconfig();
    rig.linux_autoconfig();
    assert_eq!(rig.sent(), b"early", "nothing that was looped got out");
    rig.started();
    let mut got = Vec::new();
    while rig.wire.level() {
        assert!(matches!(rig.get(IIR), 0xc4 | 0xcc));
        while rig.get(LSR) & 1 != 0 {
            got.push(rig.get(DATA));
        }
    }
    assert_eq!(got, text);
    assert!(rig.wire.alternates());
}

#[test]
fn received_bytes_interrupt_at_the_trigger_level_and_by_timeout() {
    let rig = Rig::new();
    rig.started();
    assert_eq!((rig.get(IIR), rig.wire.level()), (0xc1, false));
    rig.typed(b"1234567");
    assert_eq!((rig.get(IIR), rig.wire.level()), (0xcc, true), "below 8: a timeout");
    rig.typed(b"8");
    assert_eq!(rig.get(IIR), 0xc4, "received data available");
    assert_eq!(rig.get(DATA), b'1');
    assert_eq!(rig.get(IIR), 0xcc);
    (2..8).for_each(|_| assert!(rig.get(DATA) > b'1' && rig.wire.level()));
    assert_eq!((rig.get(DATA), rig.get(IIR), rig.get(LSR), rig.wire.level()), (b'8', 0xc1, 0x60, false));
    // Other trigger levels.
    for (bits, level) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
        rig.out(FCR, bits);
        for n in 1..=14 {
            rig.typed(b"x");
            assert_eq!(rig.get(IIR) == 0xc4, n >= level, "{n} bytes at level {level}");
        }
        rig.out(FCR, bits | 2);
        assert_eq!((rig.get(IIR), rig.get(LSR) & 1), (0xc1, 0), "cleared");
    }
}

#[test]
fn input_waits_in_the_stream_while_the_fifo_is_full() {
    let rig = Rig::new();
    rig.started();
    let text: Vec<u8> = (0..200).collect();
    rig.typed(&text);
    assert_eq!(rig.cable.waiting.lock().len(), 200 - 16);
    let got: Vec<u8> = std::iter::from_fn(|| (rig.get(LSR) & 1 != 0).then(|| rig.get(DATA))).collect();
    assert_eq!(got, text, "and no overrun");
    // Without FIFOs one at a time.
    rig.out(FCR, 0);
    rig.typed(&text);
    assert_eq!((rig.cable.waiting.lock().len(), rig.get(IIR)), (199, 4));
    let got: Vec<u8> = std::iter::from_fn(|| (rig.get(LSR) == 0x61).then(|| rig.get(DATA))).collect();
    assert_eq!(got, text);
}

#[test]
fn a_guest_that_polls_gets_input_too() {
    let rig = Rig::new();
    rig.typed(b"ab");
    rig.get(LSR);
    assert!(rig.cable.ready.lock().is_none(), "one look may be for the transmitter");
    assert_eq!(rig.get(LSR), 0x61);
    assert_eq!((rig.get(DATA), rig.get(LSR), rig.get(DATA)), (b'a', 0x61, b'b'));
    assert_eq!(rig.get(LSR), 0x60);
    rig.typed(b"c");
    assert_eq!((rig.get(LSR), rig.get(DATA)), (0x61, b'c'));
    assert!(!rig.wire.level());
}

#[test]
fn the_transmitter_interrupts_when_it_is_empty_until_that_was_read() {
    let rig = Rig::new();
    rig.out(MCR, 8);
    rig.out(DATA, b'a');
    assert!(!rig.wire.level(), "not enabled");
    rig.out(IER, 2);
    assert!(rig.wire.level());
    assert_eq!((rig.get(IIR), rig.wire.level(), rig.get(IIR)), (2, false, 1));
    rig.out(DATA, b'b');
    assert_eq!((rig.wire.level(), rig.get(LSR)), (true, 0x60));
    // A received byte has priority, and does not make it forget.
    rig.out(IER, 3);
    rig.typed(b"x");
    assert_eq!((rig.get(IIR), rig.get(DATA), rig.get(IIR), rig.wire.level()), (4, b'x', 2, false));
    rig.out(DATA, b'c');
    rig.out(IER, 0);
    assert!(!rig.wire.level());
    assert_eq!(rig.sent(), b"abc");
}

#[test]
fn interrupts_get_out_only_with_out2_and_not_in_loopback() {
    let rig = Rig::new();
    rig.out(IER, 2);
    assert!(!rig.wire.level());
    for (mcr, level) in [(8, true), (0, false), (0x0b, true), (0x1b, false), (8, true)] {
        rig.out(MCR, mcr);
        assert_eq!(rig.wire.level(), level, "MCR {mcr:#x}");
    }
    assert!(rig.wire.alternates());
}

#[test]
fn loopback_has_its_own_line_and_modem() {
    let rig = Rig::new();
    assert_eq!(rig.get(MSR), 0xb0, "CTS, DSR, DCD");
    rig.out(MCR, 0x10);
    assert_eq!((rig.get(MSR), rig.get(MSR)), (0x0b, 0), "three lines changed; reading clears that");
    for (output, input) in [(1, 0x20), (2, 0x10), (4, 0x40), (8, 0x80)] {
        rig.out(MCR, 0x10 | output);
        assert_eq!(rig.get(MSR) & 0xf0, input);
    }
    rig.out(MCR, 0x14);
    rig.get(MSR);
    rig.out(MCR, 0x10);
    assert_eq!(rig.get(MSR), 4, "the end of RI");
    // What is typed meanwhile waits; what is sent comes back; the 17th byte is lost.
    rig.out(FCR, 1);
    rig.out(IER, 5);
    rig.typed(b"later");
    (0..17).for_each(|n| rig.out(DATA, n));
    assert_eq!((rig.get(IIR), rig.get(LSR), rig.get(LSR)), (0xc6, 0x63, 0x61), "an overrun, told once");
    (0..16).for_each(|n| assert_eq!(rig.get(DATA), n));
    assert_eq!((rig.get(LSR), rig.sent()), (0x60, vec![]));
    rig.out(MCR, 8);
    assert_eq!(rig.get(DATA), b'l');
}

#[test]
fn registers_keep_what_is_written() {
    let rig = Rig::new();
    rig.out(SCR, 0xa5);
    rig.out(LCR, 0x83);
    assert_eq!((rig.get(DATA), rig.get(IER)), (1, 0), "115200");
    rig.serial.write(DATA, &0x1234u16.to_le_bytes());
    rig.out(LCR, 0x1b);
    rig.out(IER, 0xff);
    rig.out(MCR, 0xff);
    assert_eq!((rig.get(SCR), rig.get(LCR), rig.get(IER), rig.get(MCR)), (0xa5, 0x1b, 0x0f, 0x1f));
    rig.out(LCR, 0x83);
    assert_eq!((rig.get(DATA), rig.get(IER)), (0x34, 0x12), "a 16 bit access is two of 8");
    assert_eq!(rig.sent(), b"");
    rig.serial.reset().unwrap();
    assert_eq!((rig.get(LCR), rig.get(IER), rig.get(MCR), rig.get(SCR), rig.get(IIR)), (3, 0, 0, 0, 1));
}

#[test]
fn a_reset_lowers_the_line_and_input_goes_on() {
    let rig = Rig::new();
    rig.started();
    rig.typed(b"x");
    assert!(rig.wire.level());
    rig.serial.reset().unwrap();
    assert!(!rig.wire.level());
    rig.started();
    rig.typed(b"y");
    assert_eq!((rig.wire.level(), rig.get(DATA)), (true, b'y'));
}

proptest! {
    #[test]
    fn any_access_is_answered_and_the_line_only_changes(accesses in accesses(8), typed: Vec<u8>) {
        let rig = Rig::new();
        for (i, access) in accesses.iter().enumerate() {
            access.run(&*rig.serial);
            if let Some(byte) = typed.get(i) {
                rig.typed(&[*byte]);
            }
            // The line says what the registers say.
            let (mcr, pending) = (rig.get(MCR), rig.serial.chip.lock().pending());
            prop_assert_eq!(rig.wire.level(), pending != 1 && mcr & 0x18 == 8);
        }
        prop_assert!(rig.wire.alternates());
        // A driver that starts now finds a port in order.
        rig.serial.reset().unwrap();
        rig.cable.waiting.lock().clear();
        rig.sent();
        rig.started();
        rig.typed(b"ok");
        prop_assert_eq!((rig.get(DATA), rig.get(DATA)), (b'o', b'k'));
        rig.out(DATA, b'!');
        prop_assert_eq!(rig.sent(), b"!");
    }
}
