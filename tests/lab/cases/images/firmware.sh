# shellcheck shell=dash
# Debian's disk image by way of its own boot loader, which the firmware of Debian's packages starts.

up() { grep -qE "DEBIAN IMAGE IS UP 6.1.0-[0-9]+-cloud-amd64 boots=1 root=/dev/$1" console || fail "the image does not say that it is up, on $1"; }

bios() {
    limit=900s guest 0 --firmware seabios --disk /images/debian.qcow2,throwaway
    up vda3
}

it "SeaBIOS, GRUB, virtio" bios
