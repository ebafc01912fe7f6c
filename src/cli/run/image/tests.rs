use super::*;

#[test]
fn the_terminal_is_a_console() {
    for (options, console, want) in [
        ("root=/dev/vda1 quiet", "console=ttyS0", "root=/dev/vda1 quiet console=ttyS0"),
        ("console=tty0 ro", "console=ttyS0", "console=tty0 ro console=ttyS0"),
        ("console=ttyS0,115200n8 ro", "console=ttyS0", "console=ttyS0,115200n8 ro"),
        ("console=ttyS1 ro", "console=ttyS0", "console=ttyS1 ro"),
        ("console=ttyS0", "console=hvc0", "console=ttyS0 console=hvc0"),
        ("", "console=ttyS0", "console=ttyS0"),
    ] {
        assert_eq!(arguments(options, console), want);
    }
}

#[test]
fn the_screen_is_a_console_before_the_others() {
    for (options, want) in [
        ("root=/dev/vda1", "console=tty0 root=/dev/vda1"),
        ("console=ttyS0 ro", "console=tty0 console=ttyS0 ro"),
        ("console=tty1 ro", "console=tty1 ro"),
        ("console=tty console=ttyS0", "console=tty console=ttyS0"),
        ("", "console=tty0"),
    ] {
        assert_eq!(with_screen(options, "console=tty0"), want);
        assert_eq!(with_screen(options, ""), options);
    }
    assert_eq!(arguments("console=tty0", "console=ttyS0"), "console=tty0 console=ttyS0");
}

#[test]
fn old_names_of_disks_are_known() {
    for (options, ide, virtio) in [
        ("root=/dev/hda1 ro", true, "root=/dev/vda1 ro"),
        ("ro root=/dev/sda2 resume=/dev/sda5", true, "ro root=/dev/vda2 resume=/dev/vda5"),
        ("root=/dev/sda", true, "root=/dev/vda"),
        ("root=/dev/sdb1", false, "root=/dev/sdb1"),
        ("root=/dev/sdaa1", false, "root=/dev/sdaa1"),
        ("root=UUID=1 x=/dev/sda1", false, "root=UUID=1 x=/dev/sda1"),
        ("root=/dev/vda1", false, "root=/dev/vda1"),
    ] {
        assert_eq!((wants_ide(options), on_virtio(options).as_str()), (ide, virtio), "{options}");
    }
}
