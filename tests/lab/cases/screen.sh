# shellcheck shell=dash
# A desktop's hardware, by stock drivers.

# desktop KERNEL ARGUMENT...: `booted` with the initrd that has a desktop's drivers.
desktop() {
    local name=$1
    shift
    guest 0 "/guests/$name/vmlinuz" --initrd "/guests/initrd-desktop-$name.cpio" "$@"
}

# The driver finds the screen and the mode that it prefers, and a program draws all over it.
gpu() {
    local kernel=$1 line
    shift
    desktop "$kernel" --gpu 1024x600 "$@" \
        --append 'quiet kiln.run="cd /sys/class/drm/card*-Virtual-1; cat status; head -n 1 modes; wc -c edid; cat /proc/fb; cat /sys/class/graphics/fb0/virtual_size; yes | head -c 2457600 >/dev/fb0; head -c 2457600 /dev/fb0 | tr -d y | wc -l"'
    says 'virtio_gpudrmfb'
    # The console's cursor may stand where the program drew.
    for line in connected 1024x600 '128 edid' 1024,600 '1228\(800\|544\)'; do
        grep -qx "$line.\?" console || fail "the guest did not say $line"
    done
}

# What a guest plays is in the file: a second of one value, in 8 bits at 8 kHz, which the kernel makes what the file has.
sound() {
    local kernel=$1 heard
    shift
    desktop "$kernel" --sound wav=heard.wav "$@" \
        --append 'quiet kiln.run="cat /proc/asound/cards; yes | tr -cd y | head -c 8000 >/dev/dsp; echo played"'
    says virtio-snd
    says played
    heard=$(tail -c +45 heard.wav | tr -cd '\371' | wc -c)
    echo "$(wc -c <heard.wav) bytes, $heard samples"
    # The kernel rounds where it resamples.
    if [ "$heard" -lt 95000 ] || [ "$heard" -gt 97000 ]; then fail "of 96000 samples $heard are in the file"; fi
}

it "virtio-gpu, generic-6.1" gpu generic-6.1
it "virtio-gpu, generic-6.12, mmio" gpu generic-6.12 --transport mmio
it "virtio-snd, generic-6.12" sound generic-6.12
