//! What KVM really does here, asked by running tiny guests.

use super::code::{self, INSTRUCTIONS};
use super::report::{Check, Mark, Needed};
use super::rig::{DATA, DOORBELL, End, Rig, Ring, Watch};
use crate::bus::{Door, Doorbells};
use crate::irq::Messages;
use crate::sys::eventfd;
use anyhow::{Context, Result};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry};
use kvm_ioctls::Kvm;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where ring 0 is this many times slower than ring 3, it is interpreted.
const INTERPRETED: f64 = 20.0;
/// How long a speed is measured, and the most iterations for it.
const MEASURE: Duration = Duration::from_millis(2);
const MOST: u64 = 16_000_000;

/// SDM 4, IA32_ARCH_CAPABILITIES.
const MSR_ARCH_CAPABILITIES: u32 = 0x10a;
/// Where messages to the first local APIC go (SDM 3A, 12.11.1), and a vector for one.
const MSI_ADDRESS: u64 = 0xfee0_0000;
const VECTOR: u8 = 0x40;

/// Leaf 1 ECX: SSE3, PCLMULQDQ, SSSE3, POPCNT, AES, RDRAND. They are hidden from the guest that looks at its CPUID.
const HIDDEN: u32 = 1 << 0 | 1 << 1 | 1 << 9 | 1 << 23 | 1 << 25 | 1 << 30;
/// Written over the first letters of the processor's name, in leaf 8000_0002h.
const BRAND_LEAF: u32 = 0x8000_0002;
const BRAND: u32 = u32::from_le_bytes(*b"kiln");

struct Prober<'a> {
    kvm: &'a Kvm,
    cpuid: CpuId,
    watch: Arc<Watch>,
    /// Measured beside that of ring 0.
    user_speed: Option<Result<f64, End>>,
    /// The machine for the next probe, unless the last one spoilt it.
    rig: Option<Rig>,
}

/// All probes. An error is kiln's or the host's at large; what a probe finds out is in its check.
pub fn all(kvm: &Kvm, watch: Arc<Watch>) -> Result<Vec<Check>> {
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).context("read the CPUID that KVM supports")?;
    let mut prober = Prober { kvm, cpuid, watch, user_speed: None, rig: None };
    if let Err(e) = prober.rig() {
        let detail = format!("no VM can be made: {e:#}");
        return Ok(vec![Check::new("vm", "a VM", Mark::Fail, detail, json!(false))]);
    }
    let checks = PROBES.iter().map(|(key, title, needed, probe)| {
        let failed = |e| (Mark::Fail, format!("{title}: {e:#}"), json!(null));
        let (mark, detail, value) = probe(&mut prober).unwrap_or_else(failed);
        Check::new(key, title, mark, detail, value).needed(*needed)
    });
    Ok(checks.collect())
}

/// How good it is, in words, and for programs.
type Finding = (Mark, String, Value);
type Probe = fn(&mut Prober) -> Result<Finding>;

/// What they are called, in whose way a failure is, and what finds out.
const PROBES: &[(&str, &str, Needed, Probe)] = &[
    ("ring0_speed", "ring 0", Needed::ByGuests, ring_0),
    ("ring3_speed", "ring 3", Needed::ByGuests, ring_3),
    ("ioeventfd", "ioeventfd", Needed::ByGuests, ioeventfd),
    ("irqfd", "irqfd", Needed::ByGuests, irqfd),
    ("syscall", "SYSCALL", Needed::ByLinux, syscall),
    ("instructions", "instructions", Needed::ByLinux, instructions),
    ("cpuid", "CPUID", Needed::ByGuests, cpuid_control),
    ("msr", "MSRs", Needed::ByGuests, msr_control),
];

impl Prober<'_> {
    fn rig(&mut self) -> Result<&mut Rig> {
        let rig = match self.rig.take().filter(|r| !r.spent) {
            Some(rig) => rig,
            None => Rig::new(self.kvm, &self.cpuid, self.watch.clone())?,
        };
        Ok(self.rig.insert(rig))
    }
}

/// What CPUID says in `ring`.
fn guest_cpuid(rig: &mut Rig, ring: Ring, leaf: u32) -> Result<Result<[u32; 4], End>> {
    let outcome = rig.run(&code::CPUID, ring, 0, u64::from(leaf))?;
    Ok(match (outcome.end, <[u32; 4]>::try_from(outcome.values)) {
        (End::Done, Ok(registers)) => Ok(registers),
        (end, _) => Err(end),
    })
}

/// Instructions in a second of a loop, or how it ended otherwise. The fastest of a few runs: others share the host.
fn speed(rig: &mut Rig, ring: Ring) -> Result<Result<f64, End>> {
    // The first run brings code and tables in.
    let (mut count, mut runs, mut best) = (16, 3, 0f64);
    loop {
        let outcome = rig.run(&code::LOOP, ring, count, DATA)?;
        if outcome.end != End::Done {
            return Ok(Err(outcome.end));
        }
        if count < 1000 {
            count = 1000;
        } else if outcome.time < MEASURE && count < MOST {
            count *= 4;
        } else {
            best = best.max(2.0 * count as f64 / outcome.time.as_secs_f64().max(1e-9));
            runs -= 1;
            if runs == 0 {
                return Ok(Ok(best));
            }
        }
    }
}

/// `1.5 million instructions/s`.
fn words(rate: f64) -> String {
    match rate {
        r if r >= 1e9 => format!("{:.1} billion instructions/s", r / 1e9),
        r if r >= 1e8 => format!("{:.0} million instructions/s", r / 1e6),
        r => format!("{:.1} million instructions/s", r / 1e6),
    }
}

fn ring_0(prober: &mut Prober) -> Result<Finding> {
    let kernel = match speed(prober.rig()?, Ring::Kernel)? {
        Ok(rate) => rate,
        Err(end) => return Ok((Mark::Fail, format!("a loop in ring 0: {end}"), json!(null))),
    };
    let user = speed(prober.rig()?, Ring::User)?;
    let interpreted = user.as_ref().is_ok_and(|user| kernel * INTERPRETED < *user);
    prober.user_speed = Some(user);
    Ok(match interpreted {
        true => (Mark::Warn, format!("{}: interpreted", words(kernel)), json!(kernel.round())),
        false => (Mark::Ok, words(kernel), json!(kernel.round())),
    })
}

fn ring_3(prober: &mut Prober) -> Result<Finding> {
    let user = match prober.user_speed.take() {
        Some(user) => user,
        None => speed(prober.rig()?, Ring::User)?,
    };
    Ok(match user {
        Ok(rate) => (Mark::Ok, words(rate), json!(rate.round())),
        Err(end) => (Mark::Fail, format!("a loop in ring 3: {end}"), json!(null)),
    })
}

fn ioeventfd(prober: &mut Prober) -> Result<Finding> {
    let check = |mark, detail: String, works: bool| (mark, detail, json!(works));
    let rig = prober.rig()?;
    let bell = eventfd().context("make an eventfd")?;
    if let Err(e) = rig.vm.attach(Door::Memory(DOORBELL), &bell) {
        return Ok(check(Mark::Fail, format!("ioeventfd: {e:#}"), false));
    }
    let outcome = rig.run(&code::RING, Ring::Kernel, 0, DOORBELL)?;
    let rung = bell.read().unwrap_or(0);
    rig.vm.detach(Door::Memory(DOORBELL), &bell)?;
    Ok(match (outcome.end, rung) {
        (End::Done, 1) => check(Mark::Ok, "a store rings an eventfd".into(), true),
        (End::Done, n) => check(Mark::Fail, format!("a store rang an eventfd {n} times instead of once"), false),
        (end, _) => check(Mark::Fail, format!("a store to an ioeventfd: {end}"), false),
    })
}

fn irqfd(prober: &mut Prober) -> Result<Finding> {
    let check = |mark, detail: String, works: bool| (mark, detail, json!(works));
    let rig = prober.rig()?;
    rig.enable_apic()?;
    let message = rig.vm.allocate()?;
    if let Err(e) = message.program(MSI_ADDRESS, u32::from(VECTOR)) {
        return Ok(check(Mark::Fail, format!("irqfd: {e:#}"), false));
    }
    message.raise();
    // KVM may hand the message to a kernel thread, so the guest may wait for it more than once.
    let start = Instant::now();
    let end = loop {
        match rig.run(&code::WAIT, Ring::Kernel, 1000, DATA)?.end {
            End::Done if start.elapsed() < Duration::from_secs(1) => continue,
            end => break end,
        }
    };
    // The interrupt stays in service: nothing else is to run with this local APIC.
    rig.spent = true;
    Ok(match end {
        End::Trap(VECTOR) => check(Mark::Ok, "an eventfd interrupts the guest through its IDT".into(), true),
        End::Done => check(Mark::Fail, "the interrupt of an irqfd never came".into(), false),
        end => check(Mark::Fail, format!("waiting for an irqfd: {end}"), false),
    })
}

/// The ring is in the low two bits of the code segment's selector.
fn syscall(prober: &mut Prober) -> Result<Finding> {
    let check = |mark, detail: &str, value| (mark, detail.to_string(), value);
    let outcome = prober.rig()?.run(&code::SYSCALL, Ring::User, 0, DATA)?;
    let rings: Vec<_> = outcome.values.iter().map(|cs| cs & 3).collect();
    Ok(match (rings.as_slice(), outcome.end) {
        ([0, 3], End::Done) => check(Mark::Ok, "enters ring 0, SYSRET returns to ring 3", json!(0)),
        ([0, ..], end) => {
            check(Mark::Fail, &format!("SYSCALL enters ring 0 but SYSRET does not return: {end}"), json!(0))
        }
        ([ring, ..], _) => check(
            Mark::Fail,
            &format!("SYSCALL from ring 3 stays in ring {ring} instead of entering ring 0"),
            json!(ring),
        ),
        ([], end) => check(Mark::Fail, &format!("SYSCALL from ring 3: {end}"), json!(null)),
    })
}

fn instructions(prober: &mut Prober) -> Result<Finding> {
    let (mut missing, mut all) = (Vec::new(), serde_json::Map::new());
    for instruction in INSTRUCTIONS {
        let rig = prober.rig()?;
        // A kernel uses what CPUID shows it in ring 0, whatever was set.
        let there = match instruction.feature {
            None => true,
            Some((leaf, register, bit)) => {
                guest_cpuid(rig, Ring::Kernel, leaf)?.is_ok_and(|r| r.get(register).is_some_and(|r| r >> bit & 1 == 1))
            }
        };
        if !there {
            all.insert(instruction.name.into(), json!(null));
            continue;
        }
        let end = rig.run(&instruction.code, Ring::Kernel, 1, DATA)?.end;
        // The breakpoint's exception is its purpose.
        let works = end == if instruction.name == "int3" { End::Trap(3) } else { End::Done };
        all.insert(instruction.name.into(), json!(works));
        if !works {
            missing.push(instruction.name);
        }
    }
    Ok(match missing.as_slice() {
        [] => (Mark::Ok, "ring 0 can use all that Linux uses there".to_string(), json!(all)),
        missing => (Mark::Fail, format!("ring 0 lacks {}", missing.join(", ")), json!(all)),
    })
}

fn cpuid_control(prober: &mut Prober) -> Result<Finding> {
    let mut cpuid = prober.cpuid.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => entry.ecx &= !HIDDEN,
            BRAND_LEAF => entry.eax = BRAND,
            _ => {}
        }
    }
    let mut rig = Rig::new(prober.kvm, &cpuid, prober.watch.clone())?;
    let (mut seen, mut controlled) = (Vec::new(), [false; 2]);
    for (ring, controlled) in [Ring::Kernel, Ring::User].into_iter().zip(&mut controlled) {
        let number = if ring == Ring::Kernel { 0 } else { 3 };
        let (features, name) = (guest_cpuid(&mut rig, ring, 1)?, guest_cpuid(&mut rig, ring, BRAND_LEAF)?);
        let (hidden, named) = match (features, name) {
            (Ok([_, _, ecx, _]), Ok([eax, ..])) => (ecx & HIDDEN == 0, eax == BRAND),
            (Err(end), _) | (_, Err(end)) => {
                seen.push(format!("CPUID in ring {number}: {end}"));
                continue;
            }
        };
        *controlled = hidden && named;
        seen.push(match (hidden, named) {
            (true, true) => format!("ring {number} sees what was set"),
            (false, true) => format!("ring {number} sees features of the host that were hidden"),
            (_, false) => format!("ring {number} sees the host's processor"),
        });
    }
    let [kernel, user] = controlled;
    let mark = if kernel && user { Mark::Ok } else { Mark::Warn };
    Ok((mark, seen.join(", "), json!({ "ring0": kernel, "ring3": user })))
}

fn msr_control(prober: &mut Prober) -> Result<Finding> {
    // What KVM itself offers for the guest.
    let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index: MSR_ARCH_CAPABILITIES, ..Default::default() }])
        .map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let offered = prober.kvm.get_msrs(&mut msrs).is_ok_and(|n| n == 1);
    let value = msrs.as_slice().first().filter(|_| offered).map_or(0, |m| m.data);
    let result = prober.rig()?.set_msrs(&[(MSR_ARCH_CAPABILITIES, value)]);
    let check = |mark, detail: String, works: bool| (mark, detail, json!(works));
    Ok(match result {
        Ok(()) => check(Mark::Ok, "IA32_ARCH_CAPABILITIES can be set".into(), true),
        Err(e) => {
            check(Mark::Warn, format!("IA32_ARCH_CAPABILITIES: {e:#}; the guest assumes every processor bug"), false)
        }
    })
}
