# shellcheck shell=dash
# The screen before a driver: stock kernels find video memory with a mode set, and show their console there.

# early_screen KERNEL SIZE ARGUMENT...: the console is on the screen, from before the first module is loaded. What the kernel says is in the
# picture: rows of it are not black.
early_screen() {
    local kernel=$1 size=$2
    shift 2
    guest 0 "/guests/$kernel/vmlinuz" --initrd "/guests/initrd-$kernel.cpio" --gpu="$size" "$@" \
        --append 'kiln.run="dmesg | grep -E vesafb\|fb0\|frame; cat /sys/class/graphics/fb0/name /sys/class/graphics/fb0/virtual_size /sys/class/graphics/fb0/bits_per_pixel; dd if=/dev/fb0 bs=64k count=64 2>/dev/null | tr -d \\000 | wc -c; grep -i vesafb /proc/iomem"'
    says "vesafb: mode is ${size}x32"
    says 'VESA VGA'
    says "$(echo "$size" | tr x ,)"
    # Bytes of letters: thousands.
    grep -qE '^[0-9]{5,}' console || fail "the picture is black"
    says 'kiln.run: exit status 0'
}

for transport in pci mmio; do
    it "generic-6.1, console, $transport" early_screen generic-6.1 1280x800 --transport $transport
done
it "generic-6.1, console, 1920x1080" early_screen generic-6.1 1920x1080

# Somebody looks over VNC (raw pixels, one request a second) while the console is still for a while, and then is not: the guest's store to
# memory that was protected meanwhile wakes what draws it.
early_watched() {
    ip link set lo up
    touch console
    {
        printf 'RFB 003.008\n\001\001\002\000\000\001\000\000\000\000\003\000\000\000\000\000\005\000\003\040'
        while [ -e /tmp/case/console ]; do
            sleep 1
            printf '\003\001\000\000\000\000\005\000\003\040'
        done
    } >requests &
    (until [ -s seen ]; do tail -f -c +1 requests | nc 127.0.0.1 5950 >seen 2>/dev/null || sleep 1; done) &
    guest 0 /guests/generic-6.1/vmlinuz --initrd /guests/initrd-generic-6.1.cpio --display vnc=127.0.0.1:5950 --append 'quiet vt.global_cursor_default=0 kiln.run="sleep 5; echo 1111111111 >/dev/tty0; sleep 5; echo 2222222222 >/dev/tty0; sleep 5"'
    says 'kiln.run: exit status 0'
    rm console
    # A whole picture of 4 MB, mostly black, and then letters.
    [ "$(wc -c <seen)" -gt 4096000 ] || fail "only $(wc -c <seen) bytes were shown"
    [ "$(tail -c +4096100 seen | tr -d '\000' | wc -c)" -gt 1000 ] || fail "nothing was shown after the first picture"
}
it "generic-6.1, watched" early_watched
