# shellcheck shell=dash
# What disks and kernels of old need: IDE by DMA and by PIO, virtio as it was before 1.0, a CD-ROM.

up() { grep -qE "^$1" console || fail "'$1' is not in the console"; }

i386='OLD IMAGE IS UP 6.1.0-[0-9]+-686-pae boots=1 root'

# From its extlinux.conf, which says root=/dev/sda1.
ide() {
    guest 0 --disk /images/old.img,bus=ide,throwaway --append "$1"
    up "$i386=/dev/sda1"
    up 'drive sda 131072 '
}

# The same disk behind virtio, by the legacy interface: no feature above 31 is there, least of all VIRTIO_F_VERSION_1 (32).
legacy() {
    guest 0 --disk /images/old.img,throwaway --append "virtio_pci.force_legacy=1 kiln.run=\"/hello; cut -c33 /sys/bus/virtio/devices/virtio0/features\""
    up "$i386=/dev/vda1"
    up '0.$'
}

entry() { kiln run /images/debian.qcow2 --list-entries | sed -nE 's/.*(Debian GNU.Linux, with Linux 6.1.0-[0-9]+-amd64) .*/\1/p' | head -n 1; }

debian_ide() {
    guest 0 --disk /images/debian.qcow2,bus=ide,throwaway --entry "$(entry)"
    up 'DEBIAN IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=1 root=/dev/sda3'
}

debian_legacy() {
    guest 0 --disk /images/debian.qcow2,throwaway --entry "$(entry)" \
        --append 'virtio_pci.force_legacy=1 kiln.run="cut -c33 /sys/bus/virtio/devices/virtio0/features"'
    up 'DEBIAN IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=1 root=/dev/vda3'
    up '0.$'
}

# What is written by way of IDE is there afterwards; the disk grows no other change.
ide_writes() {
    cp /images/old.img disk
    guest 0 --disk disk,bus=ide --append 'kiln.run="/hello; dd if=/dev/urandom of=/data bs=64k count=64; sync; sha256sum /data"'
    up "$i386=/dev/sda1"
    says 'kiln.run: exit status 0'
    e2fsck -fn 'disk?offset=32256'
    debugfs -R 'dump /data data' 'disk?offset=32256'
    says "$(sha256sum <data | cut -d' ' -f1)"
}

cdrom() {
    guest 0 --disk "/images/cd.iso$1"
    up "OLD IMAGE IS UP 6.1.0-[0-9]+-amd64 boots=read-only root=/dev/$2"
}

it "i386 on IDE" ide ""
it "i386 on IDE, by PIO" ide libata.dma=0
it "i386 on IDE, written to" ide_writes
it "i386 on legacy virtio" legacy
it "Debian's generic kernel on IDE" debian_ide
it "Debian's generic kernel on legacy virtio" debian_legacy
it "a CD-ROM on IDE" cdrom ,bus=ide sr0
it "a CD-ROM as a virtio disk" cdrom "" vda
