use super::*;
use crate::klog::Lines;

const LOG: &str = "\
[    0.312000] initcall trace_init_flags_sys_enter+0x0/0x20 returned 0 after 7 usecs\r
[    0.410000] calling  pci_driver_init+0x0/0x30 @ 1
[    0.415000] initcall pci_driver_init+0x0/0x30 returned 0 after 4882 usecs
[    0.500000][    T1] initcall i8042_init+0x0/0x4e0 [i8042] returned -19 after 500123 usecs
[    0.600000] initcall old_init+0x0/0x10 returned 0 after 3 msecs
[    0.700000] initcall slow_init+0x0/0x10 returned -22 after 1 usecs with preemption imbalance
[    0.700001] initcall  returned 0 after 1 usecs
[    0.700001] initcall x+0x0/0x1 returned many after 1 usecs
[    0.700001] initcall x+0x0/0x1 returned 0 after 1 weeks
[    0.800000] Freeing unused kernel image (initmem) memory: 2876K
[    0.800500] Freeing unused kernel image (text/rodata gap) memory: 1K
[    0.900000] Run /init as init process
[    1.000000] Run /sbin/init as init process
";

#[test]
fn a_boot() {
    let mut boot = Boot::default();
    let mut lines = Lines::default();
    LOG.as_bytes().chunks(7).for_each(|chunk| lines.feed(chunk, |line| boot.line(&Line::parse(line))));
    let found: Vec<_> = boot.initcalls.iter().map(|c| (c.name.as_str(), c.result, c.took.as_micros())).collect();
    let wanted = [
        ("trace_init_flags_sys_enter", 0, 7),
        ("pci_driver_init", 0, 4882),
        ("i8042_init", -19, 500_123),
        ("old_init", 0, 3000),
        ("slow_init", -22, 1),
    ];
    assert_eq!(found, wanted);
    assert_eq!(boot.initcalls[1].at, Some(Duration::from_millis(415)));
    assert_eq!(boot.freed, Some(Duration::from_millis(800)));
    assert_eq!(boot.init, Some(Duration::from_millis(900)));
}

#[test]
fn there_is_an_end_to_initcalls() {
    let mut boot = Boot::default();
    for i in 0..INITCALLS_MAX + 10 {
        boot.line(&Line::parse(&format!("initcall f{i}+0x0/0x1 returned 0 after 1 usecs")));
    }
    boot.line(&Line::parse("[    9.000000] Run /init as init process"));
    assert_eq!(boot.initcalls.len(), INITCALLS_MAX);
    assert!(boot.init.is_some());
}
