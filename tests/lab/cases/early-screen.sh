# shellcheck shell=dash
# The screen before a driver: stock kernels find video memory with a mode set, and show their console there.

# screen KERNEL SIZE ARGUMENT...: the console is on the screen, from before the first module is loaded. What the kernel says is in the
# picture: rows of it are not black.
early_screen() {
    local kernel=$1 size=$2
    shift 2
    guest 0 "/guests/$kernel/vmlinuz" --initrd "/guests/initrd-$kernel.cpio" --gpu "$size" "$@" \
        --append 'console=tty0 console=ttyS0 kiln.run="dmesg | grep -E vesafb\|fb0\|frame; cat /sys/class/graphics/fb0/name /sys/class/graphics/fb0/virtual_size /sys/class/graphics/fb0/bits_per_pixel; dd if=/dev/fb0 bs=64k count=64 2>/dev/null | tr -d \\000 | wc -c; grep -i vesafb /proc/iomem"'
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
