# shellcheck shell=dash
# Debian's disk image by way of its own boot loader, which the firmware of Debian's packages starts.

up() { grep -qE "^DEBIAN IMAGE IS UP 6.1.0-[0-9]+-cloud-amd64 boots=1 root=/dev/$1" console || fail "the image does not say that it is up, on $1"; }

bios() {
    limit=900s guest 0 --firmware seabios --disk "/images/debian.qcow2,throwaway$1"
    up "$2"
}

# UEFI keeps what it knows in a file that is made for it.
uefi() {
    limit=900s guest 0 --firmware ovmf --nvram vars --disk /images/debian.qcow2,throwaway
    up vda3
    [ "$(stat -c %s vars)" = "$(stat -c %s /usr/share/OVMF/OVMF_VARS_4M.fd)" ] || fail "the variables are not of the size they should be"
    ! cmp -s vars /usr/share/OVMF/OVMF_VARS_4M.fd || fail "UEFI has kept nothing"
}

cdrom() {
    limit=900s guest 0 --firmware seabios --disk /images/cd.iso,bus=ide
    grep -qE '^OLD IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=read-only root=/dev/sr0' console || fail "the CD-ROM does not say that it is up"
}

it "SeaBIOS, GRUB, virtio" bios "" vda3
it "UEFI, GRUB, virtio" uefi
it "SeaBIOS, a CD-ROM" cdrom
