use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn leaf(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> kvm_cpuid_entry2 {
    let flags = u32::from(indexed(function));
    kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..Default::default() }
}

fn registers(text: &[u8; 12]) -> [u32; 3] {
    [0, 4, 8].map(|at| u32::from_le_bytes(text[at..at + 4].try_into().unwrap()))
}

fn vendor(function: u32, max: u32, name: &[u8; 12]) -> kvm_cpuid_entry2 {
    let [ebx, edx, ecx] = registers(name);
    leaf(function, 0, [max, ebx, ecx, edx])
}

/// As a server with 2 x 24 cores x 2 threads would have it.
fn intel() -> CpuId {
    CpuId::from_entries(&[
        vendor(0, 0x1f, b"GenuineIntel"),
        leaf(1, 0, [0x606a6, 0x1730_0800, 0x0020_2008, 0x0788_fbff]),
        leaf(4, 0, [0xfc00_4121, 0x02c0_003f, 63, 0]),
        leaf(4, 1, [0xfc00_4122, 0x01c0_003f, 63, 0]),
        leaf(4, 2, [0xfc00_4143, 0x04c0_003f, 1023, 0]),
        leaf(4, 3, [0xfc0f_c163, 0x02c0_003f, 0xafff, 4]),
        leaf(7, 0, [0, 0xf1bf_0fef, 0x405f_c64e, 0x2000_0000]),
        leaf(0xb, 0, [1, 2, 0x100, 0x17]),
        leaf(0xd, 0, [7, 0x340, 0x340, 0]),
        leaf(0x12, 0, [1, 0, 0, 0]),
        leaf(0x1f, 0, [1, 2, 0x100, 0x17]),
        leaf(0x15, 0, [0; 4]),
        vendor(0x8000_0000, 0x8000_0008, &[0; 12]),
        leaf(0x8000_0001, 0, [0, 0, 0x121, 0x2c10_0800]),
        leaf(0x8000_0008, 0, [0x3034, 0, 0, 0]),
        leaf(0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
        leaf(0x4000_0001, 0, [0x0100_7efb, 0, 0, 0]),
    ])
    .unwrap()
}

fn amd_server() -> CpuId {
    CpuId::from_entries(&[
        vendor(0, 0xd, b"AuthenticAMD"),
        leaf(1, 0, [0x00a1_0f11, 0x0502_0800, 0x8120_2000, 0x178b_fbff]),
        leaf(7, 0, [0, 0xf1bf_07ab, 0x0040_5fc6, 0x10]),
        leaf(0xd, 0, [7, 0x340, 0x340, 0]),
        vendor(0x8000_0000, 0x8000_001d, b"AuthenticAMD"),
        leaf(0x8000_0001, 0, [0x00a1_0f11, 0x4000_0000, 0x0040_03f3, 0x2fd3_fbff]),
        leaf(0x8000_0008, 0, [0x0030_3030, 0, 0x5001, 0]),
        leaf(0x8000_001d, 0, [0x4121, 0x01c0_003f, 63, 0]),
        leaf(0x8000_001d, 1, [0x4122, 0x01c0_003f, 63, 0]),
        leaf(0x8000_001d, 2, [0x4143, 0x01c0_003f, 0x7ff, 2]),
        leaf(0x8000_001d, 3, [0x3_c163, 0x03c0_003f, 0x7fff, 1]),
        leaf(0x8000_001f, 0, [0xf, 51, 0, 0]),
    ])
    .unwrap()
}

fn topology(sockets: u32, cores: u32, threads: u32) -> Topology {
    Topology { sockets, cores, threads }
}

const ASKED: [(u32, u32, u32); 12] = [
    (1, 1, 1),
    (1, 4, 1),
    (2, 1, 1),
    (2, 2, 1),
    (2, 2, 2),
    (1, 3, 2),
    (3, 5, 3),
    (1, 1, 3),
    (1, 128, 1),
    (1, 255, 1),
    (255, 1, 1),
    (2, 63, 2),
];

/// Where a guest puts a processor: ids of its socket, of the core in it and of the thread, and what shares its caches.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    socket: u32,
    core: u32,
    thread: u32,
}

fn register(cpuid: &CpuId, function: u32, index: u32) -> [u32; 4] {
    find(cpuid, function, index).map_or([0; 4], |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
}

/// SDM 3A, example 9-19: walk the levels; the shift of a level takes the x2APIC id to the next one.
fn extended(cpuid: &CpuId, function: u32) -> Place {
    let (mut shifts, mut id) = ([0; 3], 0);
    for index in 0.. {
        let [eax, ebx, ecx, edx] = register(cpuid, function, index);
        let kind = ecx >> 8 & 0xff;
        if kind == 0 {
            assert_eq!(ebx, 0);
            break;
        }
        assert_eq!(ecx & 0xff, index);
        assert!(index == 0 || edx == id, "levels disagree on the id");
        shifts[kind as usize] = eax & 0x1f;
        id = edx;
    }
    let [_, smt, package] = shifts;
    Place { socket: id >> package, core: (id & ((1 << package) - 1)) >> smt, thread: id & ((1 << smt) - 1) }
}

/// Without leaf 0xb, SDM 3A, 9.9.4: field widths from the counts of leaf 1 and leaf 4.
fn legacy_intel(cpuid: &CpuId) -> Place {
    let ceil = |n: u32| n.next_power_of_two().trailing_zeros();
    let [_, ebx, _, edx] = register(cpuid, 1, 0);
    let id = ebx >> 24;
    let logical = if edx & 1 << 28 != 0 { ebx >> 16 & 0xff } else { 1 };
    let cores = (register(cpuid, 4, 0)[0] >> 26) + 1;
    let package = ceil(logical);
    let smt = ceil(logical.next_power_of_two() / cores.next_power_of_two());
    Place { socket: id >> package, core: (id & ((1 << package) - 1)) >> smt, thread: id & ((1 << smt) - 1) }
}

/// APM 3, E.5: leaf 0x80000008 has the width of the socket's part, leaf 0x8000001e the core and its threads.
fn amd_place(cpuid: &CpuId) -> Place {
    let width = register(cpuid, 0x8000_0008, 0)[2] >> 12 & 0xf;
    let extensions = register(cpuid, 0x8000_0001, 0)[2] & 1 << 22 != 0;
    let initial = register(cpuid, 1, 0)[1] >> 24;
    if !extensions {
        return Place { socket: initial >> width, core: initial & ((1 << width) - 1), thread: 0 };
    }
    assert!(register(cpuid, 0x8000_0000, 0)[0] >= 0x8000_001e);
    let [id, ebx, ecx, _] = register(cpuid, 0x8000_001e, 0);
    assert_eq!(id, initial);
    let smt = ((ebx >> 8 & 0xff) + 1).next_power_of_two().trailing_zeros();
    assert_eq!(ecx & 0xff, id >> width, "a socket is a node");
    assert_eq!(ecx >> 8 & 7, 0, "one node in a socket");
    Place { socket: id >> width, core: ebx & 0xff, thread: id & ((1 << smt) - 1) }
}

/// The processors that share the cache of `leaf` with `id`, by the rounded-up logarithm of the count (both vendors).
fn share(leaf: [u32; 4], id: u32) -> u32 {
    id >> ((leaf[0] >> 14 & 0xfff) + 1).next_power_of_two().trailing_zeros()
}

fn expected(asked: &Topology, index: u32) -> Place {
    Place {
        socket: index / (asked.cores * asked.threads),
        core: index / asked.threads % asked.cores,
        thread: index % asked.threads,
    }
}

#[test]
fn every_decoder_finds_the_topology_that_was_asked_for() {
    for (sockets, cores, threads) in ASKED {
        let asked = topology(sockets, cores, threads);
        let ids = apic_ids(&asked).unwrap();
        assert_eq!(ids.len() as u32, asked.cpus().unwrap());
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are unique");
        for index in 0..asked.cpus().unwrap() {
            let want = expected(&asked, index);
            let intel = guest(&intel(), &asked, index).unwrap();
            assert_eq!(extended(&intel, 0xb), want);
            assert_eq!(extended(&intel, 0x1f), want);
            // More than 64 cores cannot be told in leaf 4.
            if cores <= 64 {
                assert_eq!(legacy_intel(&intel), want, "{asked:?} without leaf 0xb");
            }
            let amd = guest(&amd_server(), &asked, index).unwrap();
            assert_eq!(extended(&amd, 0xb), want);
            assert_eq!(find(&amd, 0x1f, 0), None);
            assert_eq!(amd_place(&amd), want, "{asked:?}");
        }
    }
}

#[test]
fn counts_are_of_processors_that_exist() {
    for (sockets, cores, threads) in ASKED {
        let asked = topology(sockets, cores, threads);
        for supported in [intel(), amd_server()] {
            let guest = guest(&supported, &asked, 0).unwrap();
            assert_eq!(register(&guest, 0xb, 0)[1], threads);
            assert_eq!(register(&guest, 0xb, 1)[1], cores * threads);
            let htt = register(&guest, 1, 0)[3] & 1 << 28 != 0;
            assert_eq!(htt, cores * threads > 1);
        }
        let amd = guest(&amd_server(), &asked, 0).unwrap();
        assert_eq!(register(&amd, 1, 0)[1] >> 16 & 0xff, cores * threads);
        assert_eq!(register(&amd, 0x8000_0008, 0)[2] & 0xff, cores * threads - 1);
        assert_eq!(register(&amd, 0x8000_001e, 0)[1] >> 8 & 0xff, threads - 1);
        let legacy = register(&amd, 0x8000_0001, 0)[2] & 2 != 0;
        assert_eq!(legacy, cores * threads > 1);
    }
}

#[test]
fn caches_are_shared_by_core_and_by_socket() {
    for (sockets, cores, threads) in ASKED {
        let asked = topology(sockets, cores, threads);
        for (supported, function) in [(intel(), 4), (amd_server(), 0x8000_001d)] {
            let all: Vec<_> =
                (0..asked.cpus().unwrap()).map(|index| guest(&supported, &asked, index).unwrap()).collect();
            for (a, cpu_a) in (0..).zip(&all) {
                let b = asked.cpus().unwrap() - 1 - a;
                let cpu_b = &all[b as usize];
                let (at, bt) = (expected(&asked, a), expected(&asked, b));
                let together = |index| {
                    share(register(cpu_a, function, index), apic_id(&asked, a))
                        == share(register(cpu_b, function, index), apic_id(&asked, b))
                };
                let core = at.socket == bt.socket && at.core == bt.core;
                assert_eq!([0, 1, 2].map(together), [core; 3], "{asked:?} {a} {b}");
                assert_eq!(together(3), at.socket == bt.socket, "{asked:?} {a} {b}");
            }
        }
    }
}

#[test]
fn what_the_host_alone_has_is_gone_and_the_rest_stays() {
    let guest_of = |supported: &CpuId| guest(supported, &topology(1, 1, 1), 0).unwrap();
    let cpu = guest_of(&intel());
    let [eax, ebx, ecx, _] = register(&cpu, 1, 0);
    assert_eq!((eax, ebx), (0x606a6, 0x0001_0800));
    assert_eq!(ecx, 0x0020_2000 | 1 << 31 | 1 << 24, "no MONITOR; hypervisor, TSC deadline, x2APIC");
    assert_eq!(register(&cpu, 7, 0)[1], 0xf1bf_0fef & !4, "no SGX");
    assert_eq!(find(&cpu, 0x12, 0), None);
    assert_eq!(find(&cpu, 0x15, 0), None, "an empty leaf");
    assert_eq!(register(&cpu, 0x4000_0001, 0)[0], 0x0100_7efb);
    assert_eq!(register(&cpu, 0x8000_0001, 0)[2], 0x121, "nothing of AMD's");
    assert_eq!(address_bits(&cpu), 52);
    let cpu = guest_of(&amd_server());
    assert_eq!(find(&cpu, 0x8000_001f, 0), None, "no memory encryption");
    assert_eq!(register(&cpu, 0, 0)[0], 0xd);
    assert_eq!(address_bits(&cpu), 48);
}

#[test]
fn threads_can_be_told_on_an_amd_host_that_has_none() {
    let mut old: Vec<_> = amd_server().as_slice().to_vec();
    old.retain(|leaf| leaf.function != 0x8000_001d);
    for leaf in &mut old {
        match leaf.function {
            0 => leaf.eax = 7,
            0x8000_0000 => leaf.eax = 0x8000_000a,
            0x8000_0001 => leaf.ecx &= !(1 << 22),
            _ => {}
        }
    }
    let old = CpuId::from_entries(&old).unwrap();
    for index in 0..8 {
        let asked = topology(2, 2, 2);
        let cpu = guest(&old, &asked, index).unwrap();
        assert_eq!(register(&cpu, 0, 0)[0], 0xb);
        assert_eq!(amd_place(&cpu), expected(&asked, index));
        let asked = topology(2, 4, 1);
        let cpu = guest(&old, &asked, index).unwrap();
        assert_eq!(register(&cpu, 0x8000_0001, 0)[2] & 1 << 22, 0);
        assert_eq!(amd_place(&cpu), expected(&asked, index));
    }
}

#[test]
fn a_topology_with_too_large_ids_is_refused_by_name() {
    for (sockets, cores, threads, words) in [
        (3, 85, 1, "3 sockets of 85 cores of 1 threads need APIC ids up to 340"),
        (1, 256, 1, "1 sockets of 256 cores of 1 threads are not 1 to 255 processors"),
        (0, 1, 1, "0 sockets"),
        (u32::MAX, u32::MAX, u32::MAX, "are not 1 to 255"),
    ] {
        let asked = topology(sockets, cores, threads);
        let error = apic_ids(&asked).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(guest(&intel(), &asked, 0).is_err());
    }
    assert!(guest(&intel(), &topology(1, 2, 1), 2).is_err());
}

proptest! {
    /// KVM's answer is trusted, but nothing it could say makes kiln fall.
    #[test]
    fn any_supported_leaves_make_a_guest(
        leaves in proptest::collection::vec((0usize..40, 0u32..4, any::<[u32; 4]>()), 0..60),
        sockets in 1u32..5, cores in 1u32..9, threads in 1u32..5, amd in any::<bool>()
    ) {
        let functions: Vec<u32> = (0..0x20).chain([0x8000_0000, 0x8000_0001, 0x8000_0008, 0x8000_001d, 0x8000_001e,
            0x8000_001f, 0x4000_0000, 0x4000_0001]).collect();
        let mut list = vec![vendor(0, 0x1f, if amd { b"AuthenticAMD" } else { b"GenuineIntel" })];
        list.extend(leaves.iter().map(|(f, index, registers)| leaf(functions[*f], *index, *registers)));
        let asked = topology(sockets, cores, threads);
        let last = asked.cpus().unwrap() - 1;
        let cpu = guest(&CpuId::from_entries(&list).unwrap(), &asked, last).unwrap();
        prop_assert_eq!(extended(&cpu, 0xb), expected(&asked, last));
        address_bits(&cpu);
    }
}
