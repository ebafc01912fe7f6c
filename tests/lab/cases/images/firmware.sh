# shellcheck shell=dash
# Debian's disk image by way of its own boot loader, which the firmware of Debian's packages starts.

up() { grep -qE "^DEBIAN IMAGE IS UP 6.1.0-[0-9]+-cloud-amd64 boots=1 root=/dev/$1" console || fail "the image does not say that it is up, on $1"; }

bios() {
    limit=900s guest 0 --firmware seabios --disk "/images/debian.qcow2,throwaway$1"
    up "$2"
}

# UEFI keeps what it knows in a file that is made for it.
uefi() {
    # In UEFI's way, QEMU 10.0's emulation of SVM ends by an assertion of its own (tcg_handle_interrupt: bql_locked), and the nested host with it.
    [ -e /lab/uefi ] || { echo "QEMU's emulation of SVM aborts under UEFI" && return 77; }
    limit=900s guest 0 --firmware ovmf --nvram vars --disk /images/debian.qcow2,throwaway
    up vda3
    [ "$(stat -c %s vars)" = "$(stat -c %s /usr/share/OVMF/OVMF_VARS_4M.fd)" ] || fail "the variables are not of the size they should be"
}

it "SeaBIOS, GRUB, virtio" bios "" vda3
it "UEFI, GRUB, virtio" uefi
