//! What drives KVM on this host, and whether the host is a virtual machine itself.

use std::arch::x86_64::__cpuid;
use std::fmt;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Intel VT-x.
    Vmx,
    /// AMD-V.
    Svm,
    /// Pagetable-based: needs no processor extension, and interprets the guest's ring 0.
    Pvm,
    /// None that is known.
    Unknown,
}

impl Engine {
    /// A stable word for programs to read.
    pub fn key(self) -> &'static str {
        match self {
            Engine::Vmx => "vmx",
            Engine::Svm => "svm",
            Engine::Pvm => "pvm",
            Engine::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Vmx => "Intel VT-x",
            Engine::Svm => "AMD SVM",
            Engine::Pvm => "PVM",
            Engine::Unknown => "unknown",
        })
    }
}

/// What the processor says about virtual machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// It has VT-x or SVM.
    pub engine: Option<Engine>,
    /// The hypervisor this host runs under.
    pub hypervisor: Option<String>,
}

impl Processor {
    pub fn detect() -> Processor {
        // SDM 2A, CPUID: leaf 1 ECX bit 5 VMX, bit 31 a hypervisor is there. AMD APM 3, E.4: 8000_0001h ECX bit 2 SVM.
        let basic = __cpuid(1).ecx;
        let extended = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 };
        let engine = match (basic >> 5 & 1, extended >> 2 & 1) {
            (1, _) => Some(Engine::Vmx),
            (_, 1) => Some(Engine::Svm),
            _ => None,
        };
        let hypervisor = (basic >> 31 == 1).then(|| {
            let leaf = __cpuid(0x4000_0000);
            let signature: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx].iter().flat_map(|r| r.to_le_bytes()).collect();
            name(&signature)
        });
        Processor { engine, hypervisor }
    }
}

/// [`Processor::hypervisor`] where the processor is emulated.
pub const TCG: &str = "QEMU without KVM (TCG)";

/// Whose signature it is (leaf 4000_0000h).
fn name(signature: &[u8]) -> String {
    match signature {
        b"KVMKVMKVM\0\0\0" => "KVM".into(),
        b"Microsoft Hv" => "Hyper-V".into(),
        b"VMwareVMware" => "VMware".into(),
        b"XenVMMXenVMM" => "Xen".into(),
        b"TCGTCGTCGTCG" => TCG.into(),
        b"VBoxVBoxVBox" => "VirtualBox".into(),
        b" prl hyperv " => "Parallels".into(),
        b"bhyve bhyve " => "bhyve".into(),
        _ => "a hypervisor without a known name".into(),
    }
}

/// The engine behind a /dev/kvm that is there.
pub fn engine() -> Engine {
    let loaded = |module: &str| Path::new("/sys/module").join(module).exists();
    match Processor::detect().engine {
        _ if loaded("kvm_pvm") => Engine::Pvm,
        Some(engine) => engine,
        None if loaded("kvm") => Engine::Pvm,
        None => Engine::Unknown,
    }
}
