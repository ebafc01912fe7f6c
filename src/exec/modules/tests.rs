use super::made::*;
use super::*;
use crate::exec::kernel::choose;

const HOST: &str = "lib/modules/6.9.0-rc1+";

/// A host whose kernel has USUAL as modules and VIRTIO_BLK built in; its configuration is `config`, if any.
fn host(config: Option<String>) -> (Root, Kernel) {
    let root = Root::new();
    root.modules(HOST, USUAL);
    root.file(&format!("{HOST}/modules.order"), list(USUAL));
    root.file(&format!("{HOST}/modules.builtin"), "kernel/drivers/block/virtio_blk.ko\n");
    if let Some(config) = config {
        root.file("boot/config-6.9.0-rc1+", config);
    }
    let kernel = root.kernel("boot/vmlinuz-6.9.0-rc1+");
    (root, kernel)
}

fn said(plan: Result<Plan>) -> String {
    format!("{:#}", plan.err().expect("it should be refused"))
}

#[test]
fn modules_come_in_the_order_of_loading() {
    let (root, kernel) = host(Some(config('m', &[])));
    let plan = root.plan(&kernel, None, &WANTS).unwrap();
    let pci = ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci", "virtio_console", "fuse", "virtiofs"];
    assert_eq!(names(&plan), [&pci[..], &["overlay"]].concat());
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(plan.directory.unwrap(), root.path(HOST));
}

#[test]
fn what_the_machine_has_decides_what_is_needed() {
    let (root, kernel) = host(Some(config('m', &[])));
    let mmio = Wants { transport: Transport::Mmio, net: true, disk: true, terminal: true };
    let plan = root.plan(&kernel, None, &mmio).unwrap();
    let names = names(&plan);
    assert!(names.contains(&"virtio_mmio") && !names.contains(&"virtio_pci"));
    assert_eq!(names[names.len() - 2..], ["net_failover", "virtio_net"]);
    assert!(!names.contains(&"virtio_blk"), "it is built in");
}

#[test]
fn all_built_in_needs_no_modules_at_all() {
    let root = Root::new();
    let kernel = root.kernel("k");
    root.file("boot/config-6.9.0-rc1+", config('y', &[]));
    let plan = root.plan(&kernel, None, &WANTS).unwrap();
    assert!(plan.modules.is_empty() && plan.warnings.is_empty() && plan.directory.is_none());
}

#[test]
fn an_option_that_is_not_set_is_named_with_what_it_is_for() {
    let root = Root::new();
    let kernel = root.kernel("k");
    root.file("boot/config-6.9.0-rc1+", config('y', &[("VIRTIO_FS", "n")]));
    assert_eq!(
        said(root.plan(&kernel, None, &WANTS)),
        "kernel 6.9.0-rc1+: CONFIG_VIRTIO_FS is not set: kiln exec needs it to show the host's files; \
         build it with CONFIG_VIRTIO_FS=y"
    );
    root.file("boot/config-6.9.0-rc1+", config('y', &[("DEVTMPFS", "n"), ("OVERLAY_FS", "n"), ("TMPFS", "n")]));
    assert_eq!(
        said(root.plan(&kernel, None, &WANTS)),
        "kernel 6.9.0-rc1+: CONFIG_DEVTMPFS, CONFIG_TMPFS and CONFIG_OVERLAY_FS are not set: kiln exec needs them \
         for /dev, to keep what the command writes and to keep writes away from the host's files; \
         build it with CONFIG_DEVTMPFS=y CONFIG_TMPFS=y CONFIG_OVERLAY_FS=y"
    );
}

#[test]
fn what_is_not_needed_now_may_be_missing() {
    let missing = config('y', &[("UNIX98_PTYS", "n"), ("VIRTIO_NET", "n"), ("VIRTIO_BLK", "n"), ("VIRTIO_MMIO", "n")]);
    let root = Root::new();
    let kernel = root.kernel("k");
    root.file("boot/config-6.9.0-rc1+", missing);
    assert!(root.plan(&kernel, None, &WANTS).is_ok());
    for (wants, option) in [
        (Wants { terminal: true, ..WANTS }, "UNIX98_PTYS"),
        (Wants { net: true, ..WANTS }, "VIRTIO_NET"),
        (Wants { disk: true, ..WANTS }, "VIRTIO_BLK"),
        (Wants { transport: Transport::Mmio, ..WANTS }, "VIRTIO_MMIO"),
    ] {
        assert!(said(root.plan(&kernel, None, &wants)).contains(&format!("CONFIG_{option} is not set")));
    }
}

#[test]
fn a_kernel_without_a_console_is_only_warned_of() {
    let (root, kernel) = host(Some(config('m', &[("SERIAL_8250_CONSOLE", "n")])));
    let plan = root.plan(&kernel, None, &WANTS).unwrap();
    assert_eq!(
        plan.warnings,
        ["kernel 6.9.0-rc1+: CONFIG_SERIAL_8250_CONSOLE is not set: there will be no kernel log"]
    );
}

#[test]
fn a_module_whose_file_is_missing_is_told_from_an_option_that_is_not_set() {
    let (root, kernel) = host(Some(config('m', &[])));
    std::fs::remove_file(root.path(&format!("{HOST}/kernel/fs/fuse/virtiofs.ko"))).unwrap();
    let text = said(root.plan(&kernel, None, &WANTS));
    assert!(
        text.contains("CONFIG_VIRTIO_FS is a module, and not in ") || text.contains("CONFIG_VIRTIO_FS is a module: ")
    );
    assert!(text.contains(HOST) && text.contains("--modules DIR"), "{text}");
    // None of them is there.
    let root = Root::new();
    root.file("boot/config-6.9.0-rc1+", config('m', &[]));
    let text = said(root.plan(&root.kernel("k"), None, &WANTS));
    assert!(text.contains("modules were not found; --modules DIR says where they are"), "{text}");
}

#[test]
fn without_a_configuration_the_lists_decide_if_both_are_there() {
    let (root, kernel) = host(None);
    assert_eq!(names(&root.plan(&kernel, None, &WANTS).unwrap()).len(), 8);
    root.file(&format!("{HOST}/modules.order"), list(&USUAL[..6]));
    let text = said(root.plan(&kernel, None, &WANTS));
    assert!(text.contains("CONFIG_FUSE_FS, CONFIG_VIRTIO_FS and CONFIG_OVERLAY_FS are not set"), "{text}");
    // It could be built in.
    std::fs::remove_file(root.path(&format!("{HOST}/modules.builtin"))).unwrap();
    let plan = root.plan(&kernel, None, &WANTS).unwrap();
    assert!(!names(&plan).contains(&"fuse") && names(&plan).contains(&"virtio_console"));
}

#[test]
fn of_an_unknown_kernel_nothing_is_said() {
    let root = Root::new();
    let plan = root.plan(&root.kernel("k"), None, &WANTS).unwrap();
    assert!(plan.modules.is_empty() && plan.warnings.is_empty());
}

#[test]
fn the_configuration_inside_a_kernel_counts_when_something_seems_missing() {
    let root = Root::new();
    let plan = |change: &[(&str, &str)]| {
        let inside = [&b"Linux version 6.9.0-rc1+ \0"[..], &ikconfig(&config('y', change))].concat();
        root.plan(&choose(Some(&root.file("vmlinux", vmlinux(&inside))))?, None, &WANTS)
    };
    assert!(plan(&[]).unwrap().modules.is_empty());
    assert!(said(plan(&[("OVERLAY_FS", "n")])).contains("kernel 6.9.0-rc1+: CONFIG_OVERLAY_FS is not set"));
}

#[test]
fn a_packed_kernel_is_looked_into_only_to_explain() {
    let root = Root::new();
    let explain = |change: &[(&str, &str)]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let inside = vmlinux(&ikconfig(&config('y', change)));
        std::io::Write::write_all(&mut gzip, &inside).unwrap();
        let kernel = choose(Some(&root.file("vmlinux.gz", gzip.finish().unwrap())))?;
        let plan = root.plan(&kernel, None, &WANTS)?;
        // Unpacked it says the same.
        assert_eq!(plan.check(&kernel, &inside[..]).is_ok(), plan.explain(&kernel).is_ok());
        plan.explain(&kernel)
    };
    explain(&[]).unwrap();
    explain(&[("VIRTIO_NET", "n")]).unwrap();
    assert!(format!("{:#}", explain(&[("TMPFS", "n")]).unwrap_err()).contains("CONFIG_TMPFS is not set"));
    let module = format!("{:#}", explain(&[("FUSE_FS", "m")]).unwrap_err());
    assert!(module.contains("CONFIG_FUSE_FS is a module") && module.contains("were not found"), "{module}");
    // Without a configuration inside there is nothing to say.
    let kernel = root.kernel("k");
    root.plan(&kernel, None, &WANTS).unwrap().explain(&kernel).unwrap();
}

#[test]
fn a_build_tree_is_enough() {
    let root = Root::new();
    let sources: Vec<_> = USUAL.iter().map(|(path, needs)| (path.strip_prefix("kernel/").unwrap(), *needs)).collect();
    root.modules("linux", &sources);
    let objects: String = sources.iter().map(|(path, _)| path.replace(".ko", ".o\n")).collect();
    root.file("linux/modules.order", objects);
    root.file("linux/modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    root.file("linux/include/config/auto.conf", config('m', &[]));
    root.file("linux/.config", "CONFIG_NOTHING=y\n");
    let kernel = root.kernel("linux/arch/x86/boot/bzImage");
    assert_eq!(names(&root.plan(&kernel, None, &WANTS).unwrap()).len(), 8);
    // The same for a kernel elsewhere.
    let other = root.kernel("k");
    assert_eq!(names(&root.plan(&other, Some("linux"), &WANTS).unwrap()).len(), 8);
    std::fs::remove_file(root.path("linux/fs/overlayfs/overlay.ko")).unwrap();
    let text = said(root.plan(&kernel, None, &WANTS));
    assert!(text.contains("CONFIG_OVERLAY_FS is a module") && text.contains("`make modules` builds it"), "{text}");
}

#[test]
fn modules_of_another_kernel_are_warned_of() {
    let (root, _) = host(Some(config('m', &[])));
    let kernel = choose(Some(&root.file("k", bzimage("6.9.1")))).unwrap();
    let plan = root.plan(&kernel, Some(HOST), &WANTS).unwrap();
    let [warning] = &plan.warnings[..] else { panic!("{:?}", plan.warnings) };
    assert!(warning.starts_with("kernel 6.9.1: ") && warning.contains("is for kernel 6.9.0-rc1+"), "{warning}");
}

#[test]
fn a_file_is_read_up_to_a_limit_and_nothing_else_is_read() {
    let root = Root::new();
    let path = root.file("f", b"1234\xff");
    assert_eq!(read(&path, 5).unwrap(), "1234\u{fffd}");
    assert!(read(&path, 4).is_err() && read(Path::new("/dev/zero"), 4).is_err() && read(&root.path(""), 4).is_err());
}

/// Debian's own kernels, where their packages have been unpacked in the cache.
#[test]
fn real_kernels_have_all_that_is_needed() {
    let cache = std::env::var_os("KILN_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/kiln")));
    let mut lists = Vec::new();
    find(&cache.unwrap_or_default(), "modules.builtin", 8, &mut lists);
    let kernels = lists.iter().filter_map(|list| {
        let release = list.parent()?.file_name()?.to_str()?.to_string();
        let image = list.ancestors().nth(4)?.join(format!("boot/vmlinuz-{release}"));
        image.exists().then_some((image, release))
    });
    let mut seen = 0;
    for (image, release) in kernels {
        let Ok(kernel) = choose(Some(&image)) else { continue };
        assert_eq!(kernel.release.as_ref(), Some(&release));
        for transport in [Transport::Pci, Transport::Mmio] {
            let wants = Wants { transport, terminal: true, net: true, disk: true };
            let plan = plan(&kernel, None, &wants).unwrap();
            assert!(plan.warnings.is_empty(), "{release}: {:?}", plan.warnings);
            assert!(names(&plan).contains(&"overlay"), "{release}: {:?}", names(&plan));
            println!("{release}: {}", names(&plan).join(" "));
        }
        seen += 1;
    }
    if seen == 0 {
        println!("SKIPPED: no kernel package is unpacked in the cache");
    }
}
