use crate::mem::Memory;
use crate::virtio::guest::*;
use crate::virtio::toy::*;
use anyhow::{Result, bail};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn toy() -> (Toy, Calls) {
    let toy = Toy::new();
    let calls = toy.calls.clone();
    (toy, calls)
}

#[test]
fn a_device_lives_on_its_thread_from_driver_ok_to_reset() {
    let (toy, calls) = toy();
    let mut g = Guest::with(Box::new(toy), Over::Mmio);
    g.config_write(1, &[9]);
    assert_eq!(*calls.lock(), ["config 1 [9] idle"], "it is called at once, without a thread");
    calls.lock().clear();
    g.boot_with(VERSION_1 | 1, 8);
    g.config_write(2, &[7, 7]);
    g.set_status(0);
    let first = calls.lock().remove(0);
    assert_eq!(first, "reset", "the driver's own, before it begins");
    assert_eq!(
        *calls.lock(),
        ["start 0x100000001 on test0", "queue 0", "queue 1", "config 2 [7, 7] running", "quiesce", "reset"]
    );
    g.config_write(0, &[1]);
    assert_eq!(calls.lock().last().unwrap(), "config 0 [1] idle");
}

#[test]
fn an_error_stops_it_once_and_it_still_answers() {
    let failures: [fn(&mut Toy); 3] = [
        |toy| toy.on_start = Box::new(|_| bail!("a test's error at start")),
        |toy| toy.on_queue = Box::new(|_| bail!("a test's error in a queue")),
        |toy| {
            let (readable, end) = UnixStream::pair().unwrap();
            (&end).write_all(b"!").unwrap();
            toy.on_start = Box::new(move |io| io.watch(readable.as_fd(), 7));
            toy.on_fd = Box::new(|_| bail!("a test's error from a descriptor"));
        },
    ];
    for over in WAYS {
        for fail in failures {
            let (mut toy, calls) = toy();
            fail(&mut toy);
            let mut g = Guest::with(Box::new(toy), over);
            g.boot();
            g.until("it needs a reset", |g| g.status() & NEEDS_RESET != 0);
            g.until("the driver is told", Guest::told);
            g.kick(0);
            g.config_write(0, &[3]);
            assert_eq!(calls.lock().last().unwrap(), "config 0 [3] idle");
            g.set_status(0);
            let calls = calls.lock();
            assert_eq!(calls.iter().filter(|c| *c == "quiesce").count(), 1);
            assert_eq!(calls.last().unwrap(), "reset");
        }
    }
}

/// Makes the request that was just taken available once more.
fn offer_again(mem: &Memory) -> Result<()> {
    let at = Over::Mmio.areas(0)[1] + 2;
    let idx = u16::from_le_bytes(mem.read(at)?).wrapping_add(1);
    mem.write(at, &idx.to_le_bytes())
}

/// The device plays the hostile guest, too: whenever it answers a request, it makes the same one available again.
#[test]
fn a_queue_that_never_ends_does_not_keep_it_from_orders() {
    for direct in [false, true] {
        let (mut toy, _) = toy();
        let served = Arc::new(AtomicU32::new(0));
        let count = served.clone();
        toy.on_queue = Box::new(move |io| {
            let mem = io.mem.clone();
            let more = || {
                count.fetch_add(1, Ordering::SeqCst);
                offer_again(&mem)
            };
            let queue = &mut io.queues[0];
            if !direct {
                return queue.serve(|_| more().map(|()| 0));
            }
            loop {
                queue.disable_kicks()?;
                while let Some(chain) = queue.pop()? {
                    more()?;
                    queue.push(&chain, 0)?;
                }
                if !queue.enable_kicks()? {
                    return Ok(());
                }
            }
        });
        let mut g = Guest::with(Box::new(toy), Over::Mmio);
        g.boot();
        g.send(0, &[(DATA, 16, true)]);
        g.until("it works without further kicks", |_| served.load(Ordering::SeqCst) > 1000);
        g.config_write(0, &[5]);
        assert_eq!(g.status() & NEEDS_RESET, 0);
        g.set_status(0);
        assert_eq!(g.status(), 0);
    }
}

/// While a queue waits for its next turn, other events must not make the worker forget it.
#[test]
fn a_queue_that_was_cut_short_is_gone_on_with() {
    let (mut toy, _) = toy();
    let (noise, end) = UnixStream::pair().unwrap();
    (&end).write_all(b"!").unwrap();
    toy.on_start = Box::new(move |io| io.watch(noise.as_fd(), 1));
    let mut left = 1000;
    toy.on_queue = Box::new(move |io| {
        let mem = io.mem.clone();
        io.queues[0].serve(|_| {
            left -= 1;
            if left > 0 {
                offer_again(&mem)?;
            }
            Ok(0)
        })
    });
    let mut g = Guest::with(Box::new(toy), Over::Mmio);
    g.boot_with(VERSION_1, 2);
    g.send(0, &[(DATA, 16, true)]);
    g.until("all are answered after a single kick", |g| g.used(0) == 1000);
}

#[test]
fn every_order_is_answered() {
    let (toy, calls) = toy();
    let mut g = Guest::with(Box::new(toy), Over::Pci);
    g.boot();
    let g = &g;
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(move || (0..500).for_each(|n| g.config_write(n % 8, &[n as u8])));
            s.spawn(move || (0..500).for_each(|n| g.kick(n % 2)));
        }
    });
    assert_eq!(calls.lock().iter().filter(|c| c.starts_with("config")).count(), 2000);
}
