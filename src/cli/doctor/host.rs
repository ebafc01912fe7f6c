//! What can be known about the host without running a guest.

use super::report::{Check, Mark, Needed};
use crate::kvm::backend::{Engine, Processor};
use kvm_ioctls::{Cap, Kvm};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::path::Path;

/// A KVM capability (Documentation/virt/kvm/api.rst) and why kiln wants it.
struct Capability {
    cap: Cap,
    name: &'static str,
    why: &'static str,
    required: bool,
}

macro_rules! capabilities {
    ($($cap:ident $name:literal $required:literal $why:literal)*) => {
        &[$(Capability { cap: Cap::$cap, name: $name, why: $why, required: $required }),*]
    };
}

const CAPABILITIES: &[Capability] = capabilities![
    UserMemory "KVM_CAP_USER_MEMORY" true "guest memory"
    SetTssAddr "KVM_CAP_SET_TSS_ADDR" true "real mode on Intel"
    SetIdentityMapAddr "KVM_CAP_SET_IDENTITY_MAP_ADDR" true "real mode on Intel"
    ExtCpuid "KVM_CAP_EXT_CPUID" true "what the guest's CPUID shows"
    Irqchip "KVM_CAP_IRQCHIP" true "PIC, IOAPIC and local APICs in the kernel"
    Pit2 "KVM_CAP_PIT2" true "the timer chip in the kernel"
    IrqRouting "KVM_CAP_IRQ_ROUTING" true "message-signalled interrupts"
    Irqfd "KVM_CAP_IRQFD" true "interrupts from device threads"
    Ioeventfd "KVM_CAP_IOEVENTFD" true "kicks of virtio queues"
    ImmediateExit "KVM_CAP_IMMEDIATE_EXIT" true "stopping a vCPU without a race"
    MpState "KVM_CAP_MP_STATE" true "starting the other vCPUs"
    Xsave "KVM_CAP_XSAVE" false "saving a vCPU's vector registers"
    VcpuEvents "KVM_CAP_VCPU_EVENTS" false "saving a vCPU, naming a pending exception"
    InternalErrorData "KVM_CAP_INTERNAL_ERROR_DATA" false "the instruction bytes in a fault report"
    X2ApicApi "KVM_CAP_X2APIC_API" false "more than 254 vCPUs"
    Clocksource "KVM_CAP_CLOCKSOURCE" false "kvmclock: a cheap and right clock in the guest"
    TscDeadlineTimer "KVM_CAP_TSC_DEADLINE_TIMER" false "the guest's timer with one exit instead of three"
    GetTscKhz "KVM_CAP_GET_TSC_KHZ" false "telling the guest its clock rate"
    ReadonlyMem "KVM_CAP_READONLY_MEM" false "firmware as read-only memory"
];

/// Oldest kernel that kiln is tried on.
const OLDEST: (u32, u32) = (5, 10);

pub fn backend(engine: Engine, processor: &Processor) -> Check {
    let value = json!({ "engine": engine.key(), "hypervisor": processor.hypervisor });
    let check = |mark, detail: String| Check::new("backend", "back end", mark, detail, value.clone());
    match (engine, &processor.hypervisor) {
        (Engine::Pvm, under) => {
            let nested =
                under.as_ref().map_or(String::new(), |h| format!(" (this host is a virtual machine under {h})"));
            check(
                Mark::Warn,
                format!(
                    "PVM: the processor shows neither VT-x nor SVM{nested}; guest ring 0 is interpreted, ring 3 runs natively"
                ),
            )
        }
        (Engine::Unknown, _) => check(Mark::Warn, "unknown: the processor shows neither VT-x nor SVM".into()),
        (engine, Some(h)) => check(Mark::Ok, format!("{engine}, nested (this host is a virtual machine under {h})")),
        (engine, None) => check(Mark::Ok, format!("{engine}, on the hardware itself")),
    }
}

pub fn capabilities(kvm: &Kvm) -> Check {
    let missing = |required| {
        let missing = CAPABILITIES.iter().filter(|c| c.required == required && !kvm.check_extension(c.cap));
        missing.map(|c| format!("{} ({})", c.name, c.why)).collect::<Vec<_>>().join(", ")
    };
    let all = CAPABILITIES.iter().map(|c| {
        let there = json!({ "present": kvm.check_extension(c.cap), "required": c.required, "why": c.why });
        (c.name.to_string(), there)
    });
    let value = serde_json::Value::Object(all.collect());
    let check = |mark, detail| Check::new("capabilities", "capabilities", mark, detail, value);
    match (missing(true), missing(false)) {
        (required, _) if !required.is_empty() => check(Mark::Fail, format!("KVM lacks {required}")),
        (_, optional) if !optional.is_empty() => check(Mark::Warn, format!("all required; without {optional}")),
        _ => check(Mark::Ok, format!("all {} that kiln uses", CAPABILITIES.len())),
    }
}

pub fn clocks(kvm: &Kvm) -> Check {
    let (clock, deadline) = (kvm.check_extension(Cap::Clocksource), kvm.check_extension(Cap::TscDeadlineTimer));
    let mark = if clock && deadline { Mark::Ok } else { Mark::Warn };
    let word = |there| if there { "yes" } else { "no" };
    let detail = format!("kvmclock {}, TSC deadline timer {}", word(clock), word(deadline));
    Check::new("clocks", "clocks", mark, detail, json!({ "kvmclock": clock, "tsc_deadline": deadline }))
}

pub fn vcpus(kvm: &Kvm) -> Check {
    let most = kvm.get_max_vcpus();
    let host = std::thread::available_parallelism().map_or(1, |n| n.get());
    let detail = format!("up to {most} in a guest; this host has {host} processors");
    Check::new("vcpus", "vCPUs", Mark::Note, detail, json!({ "most": most, "host": host }))
}

pub fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease");
    let (major, minor) = version(&release);
    let detail = format!("Linux {release}");
    let value = json!(release);
    if (major, minor) < OLDEST {
        let detail = format!("{detail}: kiln is tried on {}.{} and later", OLDEST.0, OLDEST.1);
        return Check::new("kernel", "kernel", Mark::Warn, detail, value);
    }
    Check::new("kernel", "kernel", Mark::Ok, detail, value)
}

/// `6.1.0-13-cloud` is (6, 1).
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// For `--memory hugepages=`.
pub fn huge_pages() -> Check {
    let pool = |kib: u32| {
        let read = |what: &str| read(&format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{what}")).parse::<u64>().ok();
        Some((read("free_hugepages")?, read("nr_hugepages")?))
    };
    let (small, large) = (pool(2048), pool(1 << 20));
    let word = |pool: Option<(u64, u64)>| pool.map_or("none".into(), |(free, all)| format!("{free} of {all} free"));
    let json = |pool: Option<(u64, u64)>| pool.map(|(free, all)| json!({ "free": free, "all": all }));
    let detail = format!("2 MiB: {}, 1 GiB: {}", word(small), word(large));
    Check::new("huge_pages", "huge pages", Mark::Note, detail, json!({ "2M": json(small), "1G": json(large) }))
}

/// For `--net tap=`.
pub fn tun() -> Check {
    let path = "/dev/net/tun";
    let (mark, detail) = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => (Mark::Ok, "can be opened".to_string()),
        Err(e) if !Path::new(path).exists() => {
            (Mark::Warn, format!("{e}: no `--net tap=`; run `sudo modprobe tun`, or give the container the device"))
        }
        Err(e) => (Mark::Warn, format!("{e}: no `--net tap=`; give yourself access to {path}")),
    };
    let there = mark == Mark::Ok;
    Check::new("tun", path, mark, detail, json!(there))
}

/// They make devices faster where they are there.
pub fn vhost() -> Check {
    let there = |name: &str| fs::exists(format!("/dev/{name}")).unwrap_or(false);
    let (net, vsock) = (there("vhost-net"), there("vhost-vsock"));
    let word = |there| if there { "yes" } else { "no" };
    let detail = format!("vhost-net {}, vhost-vsock {} (not needed)", word(net), word(vsock));
    Check::new("vhost", "vhost", Mark::Note, detail, json!({ "net": net, "vsock": vsock }))
}

/// The checks that do not matter to whether guests run at all, `Needed::ByLinux` or not.
pub fn surroundings() -> Vec<Check> {
    [kernel(), huge_pages(), tun(), vhost()].map(|c| c.needed(Needed::ByGuests)).into()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("6.1.0-13-cloud-amd64"), (6, 1));
        assert_eq!(version("5.4-rc1"), (5, 4));
        assert_eq!(version(""), (0, 0));
    }

    #[test]
    fn the_back_end_is_named() {
        let under = |h: Option<&str>| Processor { engine: None, hypervisor: h.map(String::from) };
        let check = backend(Engine::Svm, &under(None));
        assert_eq!((check.mark, check.detail.as_str()), (Mark::Ok, "AMD SVM, on the hardware itself"));
        let check = backend(Engine::Vmx, &under(Some("KVM")));
        assert!(check.mark == Mark::Ok && check.detail.contains("nested") && check.detail.contains("KVM"));
        let check = backend(Engine::Pvm, &under(Some("KVM")));
        assert_eq!((check.mark, &check.value["engine"]), (Mark::Warn, &json!("pvm")));
    }
}
