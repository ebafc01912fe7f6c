# shellcheck shell=dash
# Old guests' network card: Linux's e1000 driver against kiln's model of it.

# e1000_tap NUMBER: a tap of that number, with the address 10.5.NUMBER.1.
e1000_tap() {
    tunctl -t "e$1" >/dev/null
    ip address add "10.5.$1.1/24" dev "e$1"
    ip link set "e$1" up
}

# pc KERNEL ARGUMENT...: `booted` with the initrd that has a PC's drivers.
pc() {
    local name=$1
    shift
    guest 0 "/guests/$name/vmlinuz" --initrd "/guests/initrd-pc-$name.cpio" "$@"
}

# Pings both ways, and large packets in fragments.
e1000_ping() {
    local kernel=$1 tap=$2
    e1000_tap "$tap"
    (until ping -c 1 -W 1 "10.5.$tap.2" >/dev/null 2>&1; do [ -e /tmp/case ] || exit; done && echo answered >from-host) &
    pc "$kernel" --net "tap=e$tap,mac=02:00:00:00:00:05,model=e1000" \
        --append "quiet kiln.run=\"basename \$(readlink /sys/class/net/eth0/device/driver); cat /sys/class/net/eth0/address /sys/class/net/eth0/device/device; ip address add 10.5.$tap.2/24 dev eth0; $(link_up); cat /sys/class/net/eth0/speed /sys/class/net/eth0/duplex; ping -c 5 -W 5 10.5.$tap.1 && ping -c 3 -s 8000 -W 5 10.5.$tap.1\""
    says 'e1000'
    says '02:00:00:00:00:05'
    says '0x100e'
    says '1000'
    says 'full'
    says '5 packets received'
    says '3 packets received'
    says 'kiln.run: exit status 0'
    [ -e from-host ] || fail "the guest did not answer the host's ping"
}

# 8 MiB each way over TCP: the guest's driver leaves segments and checksums to the card.
e1000_tcp() {
    local kernel=$1 tap=$2 limit=480s
    e1000_tap "$tap"
    exchanged 8 pc "$kernel" --net "tap=e$tap,model=e1000" --append "quiet kiln.run=\"ip address add 10.5.$tap.2/24 dev eth0; $(link_up); $(exchange 10.5.$tap.1); cat /proc/net/dev\""
}

# The driver lets go of the card, and takes it up again: a reset in the middle of its life.
e1000_again() {
    # shellcheck disable=SC2034 # for guest
    local limit=480s
    e1000_tap 5
    pc generic-6.1 --net tap=e5,model=e1000 \
        --append "quiet kiln.run=\"for n in 1 2 3; do ip address add 10.5.5.2/24 dev eth0; $(link_up); ping -c 2 -W 5 10.5.5.1 || exit 1; ip link set eth0 down; rmmod e1000; insmod /modules/e1000.ko; done\""
    says 'kiln.run: exit status 0'
}

it "ping over tap, generic-6.1" e1000_ping generic-6.1 1
it "ping over tap, i386-6.1" e1000_ping i386-6.1 2
it "TCP over tap, 8 MiB each way, generic-6.1" e1000_tcp generic-6.1 3
it "TCP over tap, 8 MiB each way, i386-6.1" e1000_tcp i386-6.1 4
it "the driver leaves and comes back" e1000_again
