//! How much memory there is for guests.

use std::path::Path;

/// Bytes that can be had without swapping: what the host has, or what is left to our control group if that is less.
pub fn available() -> Option<u64> {
    let host = in_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(group(Path::new("/sys/fs/cgroup")).map_or(host, |group| host.min(group)))
}

fn in_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least that is left to our control group (version 2) and those above it.
fn group(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let ours = text.lines().find_map(|l| l.strip_prefix("0::/"))?;
    let number = |path: std::path::PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |dir: &Path| Some(number(dir.join("memory.max"))?.saturating_sub(number(dir.join("memory.current"))?));
    root.join(ours).ancestors().take_while(|d| d.starts_with(root)).filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kibibytes() {
        assert_eq!(in_meminfo("MemTotal: 10 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(in_meminfo("MemTotal: 10 kB\n"), None);
        assert_eq!(in_meminfo("MemAvailable: 99999999999999999999 kB\n"), None);
        assert_eq!(in_meminfo("MemAvailable: 18446744073709551615 kB\n"), None);
    }
}
