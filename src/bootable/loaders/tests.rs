use super::super::disk::Limited;
use super::super::sample::{Tree, UUID, have, on, partitioned};
use super::*;

fn fs(files: &[(&str, &[u8])]) -> Vec<u8> {
    std::fs::read(Tree::new(files).ext("4M", &["-t", "ext4"])).unwrap()
}

fn found<T>(disk: Vec<u8>, then: impl FnOnce(&Menu) -> T) -> T {
    on(disk, |disk: &Limited| then(&look(&Volumes::open(disk).unwrap()).unwrap()))
}

fn titles(menu: &Menu) -> Vec<&str> {
    menu.entries.iter().map(|e| e.title.as_str()).collect()
}

fn paths(entry: &Entry) -> Vec<(usize, &str)> {
    std::iter::once(&entry.kernel).chain(&entry.initrd).map(|p| (p.volume, p.path.as_str())).collect()
}

#[test]
fn versions_are_in_order() {
    use std::cmp::Ordering::*;
    for (a, b, want) in [
        ("6.9", "6.10", Less),
        ("6.1.0-9-amd64", "6.1.0-10-amd64", Less),
        ("6.1~rc1", "6.1", Less),
        ("6.1", "6.1.1", Less),
        ("a", "a", Equal),
        ("007", "7", Equal),
        ("5.10", "5.9", Greater),
        ("fc-6.2", "fb-6.3", Greater),
    ] {
        assert_eq!(version::compare(a, b), want, "{a} {b}");
        assert_eq!(version::compare(b, a), want.reverse(), "{b} {a}");
    }
}

#[test]
fn boot_loader_entries_are_sorted_and_chosen_from() {
    if !have("mke2fs") {
        return;
    }
    let entry = |version: &str, key: &str| {
        format!(
            "# made by a tool\ntitle  Arch {version}\nversion {version}\nsort-key {key}\nlinux /k-{version}\ninitrd /ucode\ninitrd /i-{version}\noptions root=UUID=1\noptions rw quiet\n"
        )
    };
    let (a, b, c) = (entry("6.9", "arch"), entry("6.10", "arch"), entry("6.11", "zzz"));
    let all: &[(&str, &[u8])] = &[
        ("loader/loader.conf", b"timeout 3\ndefault arch-6.?.conf\n"),
        ("loader/entries/arch-6.9.conf", a.as_bytes()),
        ("loader/entries/arch-6.10+2-1.conf", b.as_bytes()),
        ("loader/entries/other.conf", c.as_bytes()),
        ("loader/entries/windows.conf", b"title W\nefi /EFI/w.efi\n"),
        ("loader/entries/arm.conf", b"title A\nlinux /k-6.9\narchitecture aa64\n"),
        ("k-6.9", b"k"),
        ("k-6.10", b"k"),
        ("boot/k-6.11", b"k"),
    ];
    found(fs(all), |menu| {
        assert_eq!(titles(menu), ["Arch 6.10", "Arch 6.9", "Arch 6.11"]);
        assert_eq!(menu.default, 1);
        assert_eq!(menu.entries[0].id.as_deref(), Some("arch-6.10"));
        assert_eq!(menu.entries[0].options, "root=UUID=1 rw quiet");
        assert_eq!(paths(&menu.entries[0]), [(0, "/k-6.10"), (0, "/ucode"), (0, "/i-6.10")]);
        assert_eq!(paths(&menu.entries[2])[0], (0, "/boot/k-6.11"));
    });
}

#[test]
fn syslinux_has_labels() {
    if !have("mke2fs") {
        return;
    }
    let config = b"UI vesamenu.c32\nAPPEND all\nDEFAULT live\nMENU BEGIN\nINCLUDE more.cfg\nINCLUDE /isolinux/isolinux.cfg.none\nMENU END\n\
                   LABEL hd\n  LOCALBOOT 0x80\nLABEL mem\n KERNEL memtest.bin\n";
    let more = b"label live\n  menu label ^Live (amd64)\n  kernel /live/vmlinuz\n  append initrd=/live/a.img,b.img boot=live quiet\n\
                 label text\n  linux vmlinuz\n  initrd i1,i2\n\
                 label bare\n  kernel vmlinuz more\n  append -\n";
    let files: &[(&str, &[u8])] = &[
        ("isolinux/isolinux.cfg", config),
        ("isolinux/more.cfg", more),
        ("live/vmlinuz", b"k"),
        ("isolinux/vmlinuz", b"k"),
    ];
    found(fs(files), |menu| {
        assert_eq!(titles(menu), ["Live (amd64)", "text", "bare"]);
        assert_eq!(paths(&menu.entries[0]), [(0, "/live/vmlinuz"), (0, "/live/a.img"), (0, "/isolinux/b.img")]);
        let options: Vec<&str> = menu.entries.iter().map(|e| e.options.as_str()).collect();
        assert_eq!((options, menu.default), (vec!["boot=live quiet", "all", "more"], 0));
        assert_eq!(paths(&menu.entries[1])[1..], [(0, "/isolinux/i1"), (0, "/isolinux/i2")]);
    });
    let looped: &[(&str, &[u8])] = &[("isolinux/isolinux.cfg", b"INCLUDE isolinux.cfg\nINCLUDE isolinux.cfg\n")];
    found(fs(looped), |menu| {
        assert!(menu.remarks[0].contains("includes more files than kiln reads"), "{:?}", menu.remarks)
    });
    let menu_default = b"DEFAULT menu.c32\nlabel a\nkernel /k a\nlabel b\nmenu default\nkernel /k b\n";
    found(fs(&[("extlinux.conf", menu_default), ("k", b"k")]), |menu| assert_eq!(menu.default, 1));
}

/// As Debian and Red Hat had it about 2007: /boot is a partition of its own.
#[test]
fn grub_legacy_counts_from_zero() {
    if !have("mke2fs") || !have("sfdisk") {
        return;
    }
    let config = b"# menu.lst\ndefault=1\ntimeout 5\nsplashimage=(hd0,0)/grub/splash.xpm.gz\n\n\
                   title Other\n\trootnoverify (hd0,1)\n\tchainloader +1\n\
                   title\t\tFedora (2.6.23)\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.23 ro root=/dev/VolGroup00/LogVol00 rhgb quiet\n\tinitrd /initrd-2.6.23.img\n\
                   title Debian\nroot (hd0,1)\nkernel (hd0,0)/vmlinuz-2.6.18 root=/dev/hda2 ro\nsavedefault\n\
                   title By UUID\nuuid 6b696c6e-1111-2222-3333-444455556666\nkernel --type=linux /vmlinuz-2.6.18\n\
                   title Xen\nroot (hd0,0)\nkernel /vmlinuz-2.6.23\nmodule /vmlinuz-2.6.23\n\
                   title Elsewhere\nroot (hd1,0)\nkernel /vmlinuz-2.6.18\n";
    let boot = fs(&[("grub/grub.conf", config), ("vmlinuz-2.6.23", b"k"), ("vmlinuz-2.6.18", b"k")]);
    let root = fs(&[("etc/fstab", b"")]);
    found(partitioned("dos", &[&boot, &root]), |menu| {
        assert_eq!(titles(menu), ["Fedora (2.6.23)", "Debian", "By UUID"], "{:?}", menu.remarks);
        assert_eq!(menu.default, 0);
        assert_eq!(paths(&menu.entries[0]), [(0, "/vmlinuz-2.6.23"), (0, "/initrd-2.6.23.img")]);
        assert_eq!(menu.entries[1].options, "root=/dev/hda2 ro");
        assert_eq!(paths(&menu.entries[1]), [(0, "/vmlinuz-2.6.18")]);
    });
}

#[test]
fn kernels_are_found_without_a_boot_loader() {
    if !have("mke2fs") || !have("sfdisk") {
        return;
    }
    let files: &[(&str, &[u8])] = &[
        ("boot/vmlinuz-6.1.0-9", b"k"),
        ("boot/vmlinuz-6.1.0-10", b"k"),
        ("boot/initrd.img-6.1.0-10", b"i"),
        ("vmlinuz -> boot/vmlinuz-6.1.0-9", b""),
        ("initrd.img -> /boot/none", b""),
        ("etc/fstab", b""),
    ];
    found(partitioned("gpt", &[&fs(files)]), |menu| {
        assert_eq!(titles(menu), ["Linux, /vmlinuz", "Linux, /boot/vmlinuz-6.1.0-10", "Linux, /boot/vmlinuz-6.1.0-9"]);
        // Linux alone knows no UUIDs of file systems.
        assert!(menu.entries[0].options.starts_with("root=PARTUUID="), "{}", menu.entries[0].options);
        assert_eq!(menu.entries[1].options, format!("root=UUID={UUID} ro"));
        assert_eq!(paths(&menu.entries[1]).len(), 2);
    });
    let boot = fs(&[("vmlinuz-6.1", b"k"), ("initramfs-6.1.img", b"i")]);
    let root =
        std::fs::read(Tree::new(&[("sbin/init", b"")]).ext("4M", &["-U", "0a0a0a0a-1111-2222-3333-444455556666"]))
            .unwrap();
    found(partitioned("gpt", &[&boot, &root]), |menu| {
        assert_eq!(menu.entries[0].options, "root=UUID=0a0a0a0a-1111-2222-3333-444455556666 ro");
    });
}

#[test]
fn what_is_not_there_is_left_out() {
    if !have("mke2fs") {
        return;
    }
    let grub = b"set default=1\nmenuentry gone { linux /gone; }\nmenuentry here { linux /boot/vmlinuz; }\n";
    let legacy = b"title old\nroot (hd0)\nkernel /old\n";
    let files: &[(&str, &[u8])] =
        &[("boot/grub/grub.cfg", grub), ("boot/grub/menu.lst", legacy), ("boot/vmlinuz", b"k"), ("old", b"k")];
    found(fs(files), |menu| {
        assert_eq!((titles(menu), menu.default), (vec!["here", "old"], 0));
        assert!(menu.remarks[0].contains("entry `gone`: there is no /gone"), "{:?}", menu.remarks);
    });
}
