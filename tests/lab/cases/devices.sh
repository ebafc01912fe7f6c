# shellcheck shell=dash
# Stock drivers against kiln's devices.

# The guest's root is an ext4 file system on virtio-blk; what it writes is there afterwards and the file system is clean.
root_disk() {
    local kernel=$1
    shift
    mkroot disk
    booted "$kernel" --disk disk "$@" \
        --append 'quiet root=/dev/vda kiln.run="dd if=/dev/urandom of=/data bs=64k count=64 && sha256sum /data >/sum && cat /sum"'
    says 'kiln.run: exit status 0'
    e2fsck -fn disk
    debugfs -R 'dump /data data' disk
    says "$(sha256sum <data | cut -d' ' -f1)"
}

read_only() {
    mkroot disk
    cp disk before
    booted cloud-6.1 --disk disk,readonly,serial=KILN-42 \
        --append 'quiet kiln.run="cat /sys/block/vda/ro /sys/block/vda/serial; dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync"'
    says 'KILN-42'
    says 'kiln.run: exit status 1'
    cmp disk before
}

two_disks() {
    truncate -s 8M a
    truncate -s 24M b
    booted cloud-6.1 --disk a --disk b "$@" --append 'quiet kiln.run="cat /sys/block/vda/size /sys/block/vdb/size && echo second >/dev/vdb && sync"'
    says 16384
    says 49152
    [ "$(head -n 1 b)" = second ] || fail "what the guest wrote to the second disk is not there"
}

# A ping from the guest to the host's end of the tap, and from the host to the guest.
ping_tap() {
    tunctl -t tap7 >/dev/null
    ip address add 10.7.0.1/24 dev tap7
    ip link set tap7 up
    (until ping -c 1 -W 1 10.7.0.2 >/dev/null 2>&1; do [ -e /tmp/case ] || exit; done && echo answered >from-host) &
    booted cloud-6.1 --net tap=tap7,mac=02:00:00:00:00:07 "$@" \
        --append "quiet kiln.run=\"cat /sys/class/net/eth0/address; ip address add 10.7.0.2/24 dev eth0; $(link_up); ping -c 5 -W 5 10.7.0.1\""
    says '02:00:00:00:00:07'
    says '5 packets received'
    says 'kiln.run: exit status 0'
    [ -e from-host ] || fail "the guest did not answer the host's ping"
}

# 8 MiB each way over TCP: what the offloads do to packets must not change what arrives.
tcp_tap() {
    tunctl -t tap8 >/dev/null
    ip address add 10.8.0.1/24 dev tap8
    ip link set tap8 up
    exchanged 8 booted cloud-6.1 --net tap=tap8 --append "quiet kiln.run=\"ip address add 10.8.0.2/24 dev eth0; $(link_up); $(exchange 10.8.0.1)\""
}

entropy() {
    booted cloud-6.1 --rng "$@" --append 'quiet kiln.run="cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=64 count=16 | wc -c"'
    says virtio_rng
    says 1024
}

for kernel in cloud-6.1 generic-6.1 cloud-6.12; do it "root on a disk, $kernel" root_disk $kernel; done
it "root on a disk, cloud-6.1, mmio" root_disk cloud-6.1 --transport mmio
it "root on a disk, cloud-6.1, 4 vCPUs" root_disk cloud-6.1 --cpus 4
it "disk read-only, with a serial number" read_only
it "two disks" two_disks
it "two disks, mmio" two_disks --transport mmio
it "ping over tap" ping_tap
it "ping over tap, mmio" ping_tap --transport mmio
it "TCP over tap, 8 MiB each way" tcp_tap
it "entropy" entropy
it "entropy, mmio" entropy --transport mmio
