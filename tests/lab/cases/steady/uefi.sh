# shellcheck shell=dash
# UEFI: Debian's disk image, and the shell. This takes a nested host whose emulation is one thread: with several, that of QEMU 10.0 ends by an
# assertion of its own in UEFI's way (tcg_handle_interrupt: bql_locked).

# UEFI keeps what it knows in a file that is made for it, and finds it there the next time.
uefi() {
    limit=1500s guest 0 --firmware ovmf --nvram vars --disk /images/debian.qcow2,throwaway
    grep -qE "DEBIAN IMAGE IS UP 6.1.0-[0-9]+-cloud-amd64 boots=1 root=/dev/vda3" console || fail "the image does not say that it is up"
    [ "$(stat -c %s vars)" = "$(stat -c %s /usr/share/OVMF/OVMF_VARS_4M.fd)" ] || fail "the variables are not of the size they should be"
    ! cmp -s vars /usr/share/OVMF/OVMF_VARS_4M.fd || fail "UEFI has written no variable"
}

# lit PNG: how many bytes of its rows are not zero: what is not black. Its data is one zlib stream, which is read here as gzip's.
lit() {
    {
        printf '\037\213\010\0\0\0\0\0\0\003'
        tail -c +44 "$1"
    } | gunzip 2>/dev/null | tr -d '\000' | wc -c
}

# Without a disk there is UEFI's shell. It is on the screen, hears the keyboard, and resets the machine.
shell() {
    (
        until grep -q 'Shell>' console 2>/dev/null; do sleep 1; done
        kiln screenshot lab before.png
        kiln type lab 'echo 1234567890'
        # The serial console is told the column after each character: at last the one after `Shell> ` and these.
        until grep -q ';23H' console; do sleep 1; done
        kiln screenshot lab after.png
        kiln type lab '
'
        kiln type lab 'reset
'
    ) &
    limit=600s guest 0 --firmware ovmf --nvram vars --display none --name lab --reboot exit
    wait
    echo "$(lit before.png) bytes of the picture are lit, then $(lit after.png)"
    [ "$(lit before.png)" -gt 1000 ] || fail "UEFI's shell is not on the screen"
    [ "$(lit after.png)" -gt "$(lit before.png)" ] || fail "what is typed is not on the screen"
}

it "GRUB, virtio" uefi
it "shell" shell
