//! What to do about an error on /dev/kvm: one line of advice, from what this host shows.

use super::backend::{Engine, Processor};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const WRONG_FILE: &str = "it is not the kernel's KVM device: remove it and run `sudo mknod /dev/kvm c 10 232`";

/// Why /dev/kvm cannot be used, or a VM not be created, and what mends it; empty when nothing is known about this error.
pub fn for_open(error: &io::Error) -> String {
    advise(error.raw_os_error().unwrap_or(0), &Facts::gather())
}

/// `what: error: advice` as one error.
pub fn explain(what: &str, error: kvm_ioctls::Error) -> anyhow::Error {
    let error = io::Error::from(error);
    match for_open(&error) {
        advice if advice.is_empty() => anyhow::anyhow!("{what}: {error}"),
        advice => anyhow::anyhow!("{what}: {error}; {advice}"),
    }
}

/// What the host shows of itself.
#[derive(Debug, Clone)]
struct Facts {
    processor: Processor,
    /// The kernel has registered the device, whether or not a node for it is in /dev.
    registered: bool,
    node: Option<Node>,
    user: String,
    root: bool,
    /// Group IDs of this process.
    groups: Vec<u32>,
}

/// The file /dev/kvm.
#[derive(Debug, Clone)]
struct Node {
    mode: u32,
    gid: u32,
    group: String,
    /// The user is in that group, as /etc/group says.
    listed: bool,
}

impl Facts {
    fn gather() -> Facts {
        let user = ["USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok()).filter(|u| !u.is_empty());
        let user = user.unwrap_or_else(|| "$USER".into());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ids = |field: &str| -> Vec<u32> {
            let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
            line.split_whitespace().filter_map(|id| id.parse().ok()).collect()
        };
        let mut groups = ids("Groups:");
        groups.extend(ids("Gid:"));
        let node = std::fs::metadata("/dev/kvm").ok().map(|meta| {
            let (group, listed) = group(&std::fs::read_to_string("/etc/group").unwrap_or_default(), meta.gid(), &user);
            Node { mode: meta.mode(), gid: meta.gid(), group, listed }
        });
        Facts {
            processor: Processor::detect(),
            registered: Path::new("/sys/class/misc/kvm").exists(),
            node,
            user,
            root: ids("Uid:").get(1) == Some(&0),
            groups,
        }
    }
}

/// The name of group `gid`, and whether `user` is a member (group(5)).
fn group(table: &str, gid: u32, user: &str) -> (String, bool) {
    for line in table.lines() {
        let mut fields = line.split(':');
        let (Some(name), _, Some(id), members) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if id.parse() == Ok(gid) {
            return (name.to_string(), members.unwrap_or_default().split(',').any(|m| m.trim() == user));
        }
    }
    (gid.to_string(), false)
}

fn advise(errno: i32, facts: &Facts) -> String {
    match errno {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => missing(facts),
        libc::EACCES => denied(facts),
        libc::EPERM => "a security policy forbids it (the device rules of a container, or SELinux or AppArmor); \
                        give the container the device, e.g. `docker run --device /dev/kvm`"
            .into(),
        libc::EBUSY => "another hypervisor holds the processor's virtualization: stop VirtualBox or VMware and their \
                        kernel modules, e.g. `sudo modprobe -r vboxnetadp vboxnetflt vboxdrv`"
            .into(),
        libc::ENOMEM => "the host's kernel is out of memory, or a cgroup's limit is reached: stop something, or raise \
                         the limit (memory.max)"
            .into(),
        libc::EMFILE => "too many files are open in this process: raise the limit with `ulimit -n 4096`".into(),
        _ => String::new(),
    }
}

fn missing(facts: &Facts) -> String {
    if facts.registered {
        return match facts.node {
            None => {
                "the kernel has KVM but /dev has no file for it: in a container, start it with `--device /dev/kvm`; \
                     elsewhere `sudo mknod /dev/kvm c 10 232`"
                    .into()
            }
            Some(_) => {
                "/dev/kvm is not the kernel's KVM device: remove it and run `sudo mknod /dev/kvm c 10 232`".into()
            }
        };
    }
    let module = match facts.processor.engine {
        Some(Engine::Vmx) => "kvm_intel",
        Some(_) => "kvm_amd",
        None => {
            return match &facts.processor.hypervisor {
                Some(name) => format!(
                    "this machine is itself a virtual machine (under {name}) without nested virtualization: switch \
                     that on for it, or take a machine that has it"
                ),
                None => "the processor shows neither VT-x nor SVM: switch virtualization on in the firmware set-up \
                         (BIOS: \"Intel Virtualization Technology\" or \"SVM Mode\")"
                    .into(),
            };
        }
    };
    format!(
        "the module is not loaded: run `sudo modprobe {module}`; if that is refused, virtualization is off in the \
         firmware set-up (`sudo dmesg | grep -i kvm` says so)"
    )
}

fn denied(facts: &Facts) -> String {
    let user = &facts.user;
    let Some(node) = &facts.node else { return String::new() };
    let group_may = node.mode & 0o060 == 0o060;
    if facts.root || group_may && facts.groups.contains(&node.gid) {
        return "its file mode allows it, so a security policy forbids it (SELinux, AppArmor, or a user namespace)"
            .into();
    }
    if !group_may {
        return format!(
            "only its owner may use /dev/kvm: run `sudo setfacl -m u:{user}:rw /dev/kvm` for now; for good, a udev rule \
             KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0660\""
        );
    }
    let group = &node.group;
    match node.listed {
        true => format!("{user} is in group {group} since this session began: log in again, or run `newgrp {group}`"),
        false => {
            format!("/dev/kvm belongs to group {group}: run `sudo usermod -aG {group} {user}`, then log in again")
        }
    }
}

#[cfg(test)]
mod tests;
