use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A thread that "runs the guest" until its flag is set.
fn vcpu(gate: &Gate, index: usize, flag: &AtomicU8, work: &AtomicU64) {
    while gate.enter(index, || flag.store(0, Ordering::SeqCst)) {
        while flag.load(Ordering::SeqCst) == 0 {
            work.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn nothing_runs_behind_a_closed_gate_and_all_run_when_it_opens() {
    const N: usize = 3;
    let gate = Arc::new(Gate::new(N));
    let cpus: Vec<_> = (0..N).map(|_| Arc::new((AtomicU8::new(0), AtomicU64::new(0)))).collect();
    let start = |(index, cpu): (usize, &Arc<(AtomicU8, AtomicU64)>)| {
        let (gate, cpu) = (gate.clone(), cpu.clone());
        std::thread::spawn(move || vcpu(&gate, index, &cpu.0, &cpu.1))
    };
    let threads: Vec<_> = cpus.iter().enumerate().map(start).collect();
    let call = || cpus.iter().for_each(|c| c.0.store(1, Ordering::SeqCst));
    let total = || cpus.iter().map(|c| c.1.load(Ordering::SeqCst)).collect::<Vec<_>>();
    for _ in 0..500 {
        gate.open();
        gate.close(call);
        let before = total();
        std::thread::yield_now();
        assert_eq!(total(), before);
    }
    for held in (0..N).cycle().take(100) {
        gate.open_except(vec![held]);
        let before = total();
        while total().iter().zip(&before).filter(|(now, then)| now == then).count() > 1 {
            std::thread::yield_now();
        }
        assert_eq!(total()[held], before[held]);
        gate.close(call);
    }
    gate.open();
    let before = total();
    while total().iter().zip(&before).any(|(now, then)| now == then) {
        std::thread::yield_now();
    }
    gate.dismiss(call);
    for t in threads {
        t.join().unwrap();
    }
}

#[test]
fn who_gave_up_waits_for_a_stop_and_a_start() {
    let gate = Arc::new(Gate::new(1));
    gate.open();
    let g = gate.clone();
    let thread = std::thread::spawn(move || g.give_up(0, || {}));
    gate.close(|| {});
    gate.open();
    assert!(thread.join().unwrap());
}
