# shellcheck shell=dash
# Debian's disk image by way of UEFI. This takes a nested host whose emulation is one thread: with several, that of QEMU 10.0 ends by an
# assertion of its own in UEFI's way (tcg_handle_interrupt: bql_locked).

# UEFI keeps what it knows in a file that is made for it, and finds it there the next time.
uefi() {
    limit=1500s guest 0 --firmware ovmf --nvram vars --disk /images/debian.qcow2,throwaway
    grep -qE "DEBIAN IMAGE IS UP 6.1.0-[0-9]+-cloud-amd64 boots=1 root=/dev/vda3" console || fail "the image does not say that it is up"
    [ "$(stat -c %s vars)" = "$(stat -c %s /usr/share/OVMF/OVMF_VARS_4M.fd)" ] || fail "the variables are not of the size they should be"
    ! cmp -s vars /usr/share/OVMF/OVMF_VARS_4M.fd || fail "UEFI has written no variable"
}

it "GRUB, virtio" uefi
