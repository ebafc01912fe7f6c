# shellcheck shell=dash
# Images of old, and a CD-ROM, started by what is on them: the drives that their kernels expect.

up() { grep -qE "^$1" console || fail "'$1' is not in the console"; }

i386='OLD IMAGE IS UP 6.1.0-[0-9]+-686-pae boots=1 root'

# Its extlinux.conf says root=/dev/sda1, so it gets an IDE drive unless it is told otherwise.
by_name() {
    guest 0 /images/old.img --throwaway
    up "$i386=/dev/sda1"
    up 'drive sda 131072 '
}

on_virtio() {
    guest 0 --disk /images/old.img,bus=virtio,throwaway
    up "$i386=/dev/vda1"
}

debian_on_ide() {
    guest 0 --disk /images/debian.qcow2,bus=ide,throwaway --entry 3
    up 'DEBIAN IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=1 root=/dev/sda3'
}

cdrom() {
    guest 0 --disk /images/cd.iso,bus=ide
    up 'OLD IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=read-only root=/dev/sr0'
}

it "i386, ext3, extlinux.conf, by its name alone" by_name
it "i386, root=/dev/sda1, on virtio all the same" on_virtio
it "Debian's generic kernel on IDE" debian_on_ide
it "a CD-ROM" cdrom
