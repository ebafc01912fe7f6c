//! What CPUID answers in the guest: all that KVM supports, with the topology the user asked for.
//! The rules are those of SDM 3A, 9.9 (Intel) and APM 3, appendix E (AMD).

use crate::config::Topology;
use anyhow::{Context, Result, ensure};
use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};

/// Local APIC ids end here: 255 is the broadcast, and larger ones need interrupt remapping.
const APIC_ID_MAX: u32 = 254;

/// How the bits of an APIC id are divided: thread lowest, then core, then socket. Each field has room for a power of two,
/// so that ids have gaps where the topology is not made of such numbers.
#[derive(Clone, Copy)]
struct Ids {
    thread_bits: u32,
    /// Of thread and core together: what is above is the socket.
    package_bits: u32,
}

impl Ids {
    fn new(topology: &Topology) -> Ids {
        let thread_bits = bits(topology.threads);
        Ids { thread_bits, package_bits: thread_bits + bits(topology.cores) }
    }
}

/// Bits that number `count` things.
fn bits(count: u32) -> u32 {
    u32::BITS - count.saturating_sub(1).leading_zeros()
}

/// The local APIC id of vCPU `index`, also its id for KVM. vCPU 0, which boots, has id 0.
pub fn apic_id(topology: &Topology, index: u32) -> u32 {
    let ids = Ids::new(topology);
    let (threads, cores) = (topology.threads.max(1), topology.cores.max(1));
    let thread = index % threads;
    let core = index / threads % cores;
    let socket = index / threads / cores;
    (socket << ids.package_bits) | (core << ids.thread_bits) | thread
}

/// The ids of all vCPUs by index. Errors when there are too many of them, or when the gaps of an odd topology push one
/// beyond what an interrupt can address.
pub fn apic_ids(topology: &Topology) -> Result<Vec<u32>> {
    let Topology { sockets, cores, threads } = *topology;
    let count = topology.cpus().unwrap_or(u32::MAX);
    let shape = || format!("{sockets} sockets of {cores} cores of {threads} threads");
    ensure!((1..=APIC_ID_MAX + 1).contains(&count), "{} are not 1 to {} processors", shape(), APIC_ID_MAX + 1);
    let highest = apic_id(topology, count - 1);
    ensure!(
        highest <= APIC_ID_MAX,
        "{} need APIC ids up to {highest}, and the highest there is is {APIC_ID_MAX}: \
         use fewer, or numbers of cores and threads that are powers of two",
        shape()
    );
    Ok((0..count).map(|index| apic_id(topology, index)).collect())
}

/// Bits of a guest physical address: the end of where 64-bit BARs can be.
pub fn address_bits(cpuid: &CpuId) -> u32 {
    let eax = find(cpuid, 0x8000_0008, 0).map_or(36, |leaf| leaf.eax);
    // What the second level of page tables can map may be less than what the processor can address.
    match (eax & 0xff, eax >> 16 & 0xff) {
        (physical, 0) => physical,
        (physical, mapped) => physical.min(mapped),
    }
}

/// The leaf that answers `function` and `index`, when KVM or we have put anything there.
pub fn find(cpuid: &CpuId, function: u32, index: u32) -> Option<&kvm_cpuid_entry2> {
    cpuid.as_slice().iter().find(|leaf| leaf.function == function && leaf.index == index)
}

pub fn is_amd(cpuid: &CpuId) -> bool {
    find(cpuid, 0, 0).is_some_and(amd)
}

fn amd(vendor: &kvm_cpuid_entry2) -> bool {
    let mut name = [0; 12];
    for (bytes, register) in name.chunks_exact_mut(4).zip([vendor.ebx, vendor.edx, vendor.ecx]) {
        bytes.copy_from_slice(&register.to_le_bytes());
    }
    matches!(&name, b"AuthenticAMD" | b"HygonGenuine")
}

/// Leaves for vCPU `index`, from what KVM_GET_SUPPORTED_CPUID gave.
/// Errors on a topology that [`apic_ids`] refuses, and on an index that is not in it.
pub fn guest(supported: &CpuId, topology: &Topology, index: u32) -> Result<CpuId> {
    let ids = apic_ids(topology)?;
    let id = *ids.get(index as usize).with_context(|| format!("{topology:?} has no processor {index}"))?;
    let mut leaves = Leaves(supported.as_slice().iter().filter(|leaf| wanted(leaf)).copied().collect());
    let amd = amd(leaves.get(0, 0));
    let cpu = Cpu {
        id,
        ids: Ids::new(topology),
        threads: topology.threads,
        siblings: topology.cores.saturating_mul(topology.threads),
        socket: index.checked_div(topology.cores.saturating_mul(topology.threads)).unwrap_or(0),
    };
    cpu.features(&mut leaves, amd);
    cpu.extended_topology(&mut leaves, amd);
    if amd {
        cpu.amd(&mut leaves)
    } else {
        cpu.intel(&mut leaves)
    }
    CpuId::from_entries(&leaves.0)
        .ok()
        .filter(|_| leaves.0.len() <= KVM_MAX_CPUID_ENTRIES)
        .with_context(|| format!("{} CPUID leaves are more than KVM takes", leaves.0.len()))
}

/// Leaves that say nothing are left out, which KVM answers with zero all the same.
fn wanted(leaf: &kvm_cpuid_entry2) -> bool {
    let empty = leaf.eax | leaf.ebx | leaf.ecx | leaf.edx == 0;
    let replaced = matches!(leaf.function, 0xb | 0x1f);
    // SGX, hybrid core types, memory encryption and AMD's own extended topology describe the host, not this guest.
    let host = matches!(leaf.function, 0x12 | 0x1a | 0x8000_001f | 0x8000_0026);
    !(empty || replaced || host)
}

struct Leaves(Vec<kvm_cpuid_entry2>);

impl Leaves {
    /// The leaf, made empty when it is not there.
    fn get(&mut self, function: u32, index: u32) -> &mut kvm_cpuid_entry2 {
        let at = self.0.iter().position(|leaf| leaf.function == function && leaf.index == index);
        let at = at.unwrap_or_else(|| {
            let flags = if indexed(function) { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 };
            self.0.push(kvm_cpuid_entry2 { function, index, flags, ..Default::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn all(&mut self, function: u32) -> impl Iterator<Item = &mut kvm_cpuid_entry2> {
        self.0.iter_mut().filter(move |leaf| leaf.function == function)
    }
}

fn indexed(function: u32) -> bool {
    matches!(function, 0x4 | 0x7 | 0xb | 0xd | 0x1f | 0x8000_001d)
}

/// One logical processor.
struct Cpu {
    id: u32,
    ids: Ids,
    threads: u32,
    /// Logical processors of a socket.
    siblings: u32,
    socket: u32,
}

impl Cpu {
    fn features(&self, leaves: &mut Leaves, amd: bool) {
        let basic = leaves.get(0, 0);
        basic.eax = basic.eax.max(0xb);

        // Intel counts the ids a package could have, AMD the processors it has (SDM 2A, CPUID, note on EBX; APM 3, E.3.2).
        let count = if amd { self.siblings } else { 1 << self.ids.package_bits };
        let leaf = leaves.get(1, 0);
        leaf.ebx = leaf.ebx & 0xffff | count.min(0xff) << 16 | self.id << 24;
        // KVM leaves out the TSC deadline timer on hosts before 6.x, although its local APIC has it (kvm/api.rst, 4.46).
        leaf.ecx |= 1 << 31 /* hypervisor */ | 1 << 24 /* TSC deadline */ | 1 << 21 /* x2APIC */;
        leaf.ecx &= !(1 << 3) /* MONITOR */;
        set(&mut leaf.edx, 28 /* HTT */, self.siblings > 1);

        for leaf in leaves.all(7).filter(|leaf| leaf.index == 0) {
            leaf.ebx &= !(1 << 2) /* SGX */;
            leaf.ecx &= !(1 << 30) /* SGX launch control */;
        }
    }

    /// SDM 3A, 9.9.3.1: from the threads outwards; the shift takes the id to the next level.
    fn extended_topology(&self, leaves: &mut Leaves, amd: bool) {
        let intel_v2 = !amd && leaves.get(0, 0).eax >= 0x1f;
        for function in [0xb, 0x1f] {
            if function == 0x1f && !intel_v2 {
                continue;
            }
            let levels =
                [(self.ids.thread_bits, self.threads, 1), (self.ids.package_bits, self.siblings, 2), (0, 0, 0)];
            for (index, (shift, count, kind)) in (0..).zip(levels) {
                let leaf = leaves.get(function, index);
                (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (shift, count, kind << 8 | index, self.id);
            }
        }
    }

    /// SDM 2A, CPUID, leaf 4: who shares a cache, in ids that could exist, and the cores of a package.
    fn intel(&self, leaves: &mut Leaves) {
        let cores = (1u32 << (self.ids.package_bits - self.ids.thread_bits)) - 1;
        for leaf in leaves.all(4).filter(|leaf| leaf.eax & 0x1f != 0) {
            leaf.eax = leaf.eax & 0x3fff | self.sharing(leaf.eax) | cores.min(0x3f) << 26;
        }
        for leaf in leaves.all(0x8000_0001) {
            leaf.ecx &= !(1 << 1 /* CmpLegacy */ | 1 << 22/* TopologyExtensions */);
        }
    }

    fn amd(&self, leaves: &mut Leaves) {
        let leaf = leaves.get(0x8000_0001, 0);
        set(&mut leaf.ecx, 1 /* CmpLegacy */, self.siblings > 1);
        // Only here can a guest read that a core has threads, whatever the host's processor has.
        let extensions = leaf.ecx & 1 << 22 != 0 || self.threads > 1;
        set(&mut leaf.ecx, 22 /* TopologyExtensions */, extensions);

        let leaf = leaves.get(0x8000_0008, 0);
        let count = self.siblings.saturating_sub(1).min(0xff);
        leaf.ecx = leaf.ecx & !0xf0ff | self.ids.package_bits << 12 | count;

        if !extensions {
            return;
        }
        for leaf in leaves.all(0x8000_001d).filter(|leaf| leaf.eax & 0x1f != 0) {
            leaf.eax = leaf.eax & 0x3fff | self.sharing(leaf.eax);
        }
        let core = self.id >> self.ids.thread_bits & ((1 << (self.ids.package_bits - self.ids.thread_bits)) - 1);
        let leaf = leaves.get(0x8000_001e, 0);
        leaf.eax = self.id;
        leaf.ebx = core & 0xff | self.threads.saturating_sub(1).min(0xff) << 8;
        // A socket is one node.
        leaf.ecx = self.socket & 0xff;
        leaf.edx = 0;
        let extended = leaves.get(0x8000_0000, 0);
        extended.eax = extended.eax.max(0x8000_001e);
    }

    /// Bits 25:14 of a cache's leaf: the threads of a core share levels 1 and 2, a socket shares level 3.
    /// Guests take ids that agree above the rounded-up logarithm of the count as sharing, so gaps count.
    fn sharing(&self, eax: u32) -> u32 {
        let bits = if eax >> 5 & 7 < 3 { self.ids.thread_bits } else { self.ids.package_bits };
        ((1 << bits) - 1) << 14
    }
}

fn set(register: &mut u32, bit: u32, on: bool) {
    *register = *register & !(1 << bit) | u32::from(on) << bit;
}

#[cfg(test)]
mod tests;
