# shellcheck shell=dash
# Old guests' ways to disks, CD-ROMs and networks: stock drivers against the board's IDE controller, and virtio as it was before 1.0.

# pc KERNEL ARGUMENT...: `booted` with the initrd that has a PC's drivers.
pc() {
    local name=$1
    shift
    guest 0 "/guests/$name/vmlinuz" --initrd "/guests/initrd-pc-$name.cpio" "$@"
}

# The guest's root is a disk on IDE; what it writes is there afterwards, and the file system is clean.
ide_root() {
    local kernel=$1 root=/guests/root
    shift
    case $kernel in i386*) root=/guests/root-i386 ;; esac
    mkroot disk $root
    pc "$kernel" --disk disk,bus=ide,serial=OLD-1 \
        --append "quiet $* root=/dev/sda kiln.run=\"cat /proc/ioports | grep ata_piix; dd if=/dev/urandom of=/data bs=64k count=64; sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum /data >/sum; cat /sum\""
    says ata_piix
    says 'kiln.run: exit status 0'
    e2fsck -fn disk
    debugfs -R 'dump /data data' disk
    says "$(sha256sum <data | cut -d' ' -f1)"
}

# Four drives, one of them a CD-ROM; a copy from one channel to the other, and what is on the disc.
ide_four() {
    mkroot a
    dd if=/dev/urandom of=b bs=1M count=8 2>/dev/null
    truncate -s 8M c
    dd if=/dev/urandom of=d.iso bs=1M count=8 2>/dev/null
    # The two channels are looked at side by side, so names follow no order; host, channel, target and LUN do.
    pc generic-6.1 --disk a,bus=ide --disk b,bus=ide --disk c,bus=ide --disk d.iso,bus=ide \
        --append 'quiet kiln.run="cd /sys/bus/scsi/devices; until [ -e /dev/sr0 -a -e 0:0:1:0/block ]; do usleep 20000; done; b=$(ls 0:0:1:0/block); c=$(ls 1:0:0:0/block); dd if=/dev/$b of=/dev/$c bs=1M conv=fsync; sha256sum /dev/sr0; cat /sys/block/sr0/ro /sys/block/$c/size"'
    says "$(sha256sum <d.iso | cut -d' ' -f1)"
    says 16384
    cmp b c
    truncate -s 1M e
    set -- --disk a,bus=ide --disk b,bus=ide --disk c,bus=ide --disk d.iso,bus=ide --disk e,bus=ide
    if kiln run --timeout 9s /guests/cloud-6.1/vmlinuz "$@" 2>error; then fail "there is no room for a fifth"; fi
    says 'there is room for 4' error
}

legacy_root() {
    local kernel=$1 root=/guests/root
    case $kernel in i386*) root=/guests/root-i386 ;; esac
    mkroot disk $root
    booted "$kernel" --disk disk --append 'quiet virtio_pci.force_legacy=1 root=/dev/vda kiln.run="cut -c33 /sys/bus/virtio/devices/virtio0/features; dd if=/dev/urandom of=/data bs=64k count=64; sync; sha256sum /data >/sum; cat /sum"'
    grep -q '^0.$' console || fail "this is not the legacy interface"
    says 'kiln.run: exit status 0'
    e2fsck -fn disk
    debugfs -R 'dump /data data' disk
    says "$(sha256sum <data | cut -d' ' -f1)"
}

# A ping, and 4 MiB each way over TCP.
legacy_net() {
    local kernel=$1 n=$2
    tunctl -t "old$n" >/dev/null
    ip address add "10.6.$n.1/24" dev "old$n"
    ip link set "old$n" up
    exchanged 4 booted "$kernel" --net "tap=old$n,mac=02:00:00:00:00:06" --append "quiet virtio_pci.force_legacy=1 kiln.run=\"cut -c33 /sys/bus/virtio/devices/virtio0/features; cat /sys/class/net/eth0/address; ip address add 10.6.$n.2/24 dev eth0; $(link_up); ping -c 3 -W 5 10.6.$n.1; $(exchange 10.6.$n.1)\""
    grep -q '^0.$' console || fail "this is not the legacy interface"
    says '02:00:00:00:00:06'
    says '3 packets received'
}

it "root on IDE, generic-6.1" ide_root generic-6.1
it "root on IDE, by PIO, generic-6.1" ide_root generic-6.1 libata.dma=0
it "root on IDE, i386-6.1" ide_root i386-6.1
it "four drives on IDE" ide_four
it "root on legacy virtio, generic-6.1" legacy_root generic-6.1
it "root on legacy virtio, i386-6.1" legacy_root i386-6.1
it "legacy virtio network, generic-6.1" legacy_net generic-6.1 1
it "legacy virtio network, i386-6.1" legacy_net i386-6.1 2
