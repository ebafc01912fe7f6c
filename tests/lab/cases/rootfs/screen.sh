# shellcheck shell=dash
# What `kiln screenshot` saves is, pixel for pixel, what the guest's driver shows.

screen() { python3 /lab/cases/rootfs/screen.py "$@"; }

# A key for the guest's `read`.
enter() { kiln type lab '
'; }

# The guest shows noise, and later other noise in some rows of it; each time the screen is awaited, saved, and looked at.
# Its console leaves the screen alone meanwhile.
shown() {
    local driver=$1 kernel=$2 initrd=$3
    shift 3
    mkdir add
    {
        echo "driver='$driver'"
        cat <<'SCRIPT'
grep . /sys/class/graphics/fb*/name
buffer=/dev/$(grep -lx "$driver" /sys/class/graphics/fb*/name | cut -d / -f 5)
for console in /sys/class/vtconsole/*; do
    grep -q 'frame buffer' $console/name && echo 0 >$console/bind
done
# A card that is no PCI function does not put vesafb out. The console is on vesafb then, and Linux switches the card's screen on
# only when told to; vesafb has nothing to switch.
[ "$driver" = 'VESA VGA' ] || echo 0 >/sys/class/graphics/${buffer#/dev/}/blank
cat /noise >$buffer
# What is typed while nobody has it open is lost.
exec 3</dev/tty1
echo READY
read -r line <&3
# All at once: of a single line from edge to edge Linux takes it that nothing has changed (drm_fb_helper_memory_range_to_clip).
dd if=/rows of=$buffer bs=17920 seek=43 conv=notrunc 2>/dev/null
read -r line <&3
SCRIPT
    } >add/script
    head -c $((640 * 480 * 4)) /dev/urandom >add/noise
    head -c $((640 * 7 * 4)) /dev/urandom >add/rows
    cp add/noise both
    dd if=add/rows of=both bs=17920 seek=43 conv=notrunc 2>/dev/null
    screen png 640 add/noise first.png
    screen png 640 both second.png
    screen off 640 both other.png
    {
        cat "/guests/$initrd.cpio"
        (cd add && find . -mindepth 1 | busybox cpio -o -H newc 2>/dev/null)
    } >initrd
    (
        until grep -q READY console 2>/dev/null; do sleep 1; done
        kiln screenshot lab first-shot.png --await-screen first.png --timeout 60s
        enter
        kiln screenshot lab second-shot.png --await-screen second.png --timeout 60s
        kiln screenshot lab third-shot.png --await-screen other.png --timeout 1s || echo $? >status
        enter
    ) &
    guest 0 "/guests/$kernel/vmlinuz" --initrd initrd --name lab --gpu 640x480 --display none "$@" --append 'quiet kiln.run="sh /script"'
    wait
    screen same 640 add/noise first-shot.png
    screen same 640 both second-shot.png
    screen same 640 both third-shot.png
    says 124 status
}

it "virtio_gpudrmfb, generic-6.1" shown virtio_gpudrmfb generic-6.1 initrd-desktop-generic-6.1
it "virtio_gpudrmfb, generic-6.12, mmio" shown virtio_gpudrmfb generic-6.12 initrd-desktop-generic-6.12 --transport mmio
it "vesafb, generic-6.1" shown 'VESA VGA' generic-6.1 initrd-generic-6.1
