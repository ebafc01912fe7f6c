# shellcheck shell=dash
# Keyboard and pointer by stock drivers: what is typed and clicked on the host is what the guest's programs read.

# hands COMMAND...: carried out once the guest says that it is ready.
hands() { (until grep -q READY console 2>/dev/null; do sleep 1; done && "$@") & }

# desk KERNEL [ARGUMENT...]: a guest of the name lab, with a desktop's drivers, carries out the file `script`, which finds there:
#
#   listen LABEL NAME    the input device of that name is read from now on
#   await LABEL EVENT    until it has said so: TYPE CODE VALUE, in numbers (linux/input-event-codes.h)
#   tell LABEL           all that it has said, but for scan codes, ends of reports, and repetitions of keys
desk() {
    local kernel=$1
    shift
    mkdir add
    {
        cat <<'SCRIPT'
listen() {
    local device tries=0
    until device=$(grep -Flx "$2" /sys/class/input/event*/device/name); do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { grep . /sys/class/input/event*/device/name && exit 1; }
        usleep 100000
    done
    exec 3<"/dev/input/$(echo "$device" | cut -d / -f 5)"
    cat <&3 >"/tmp/$1" &
}
# struct input_event: 16 bytes of time, then type, code and value.
events() { hexdump -v -e '16/1 "%x " 2/2 " %u" 1/4 " %d" "\n"' "/tmp/$1" | cut -d ' ' -f 17- | grep '^[123] ' | grep -v '^1 .* 2$'; }
await() { until events "$1" | grep -q "^$2\$"; do usleep 100000; done; }
tell() { events "$1" | sed "s/^/$1 /"; }
SCRIPT
        cat script
    } >add/script
    {
        cat "/guests/initrd-desktop-$kernel.cpio"
        (cd add && find . -mindepth 1 | cpio -o -H newc 2>/dev/null)
    } >initrd
    guest 0 "/guests/$kernel/vmlinuz" --initrd initrd --name lab "$@" --append 'quiet kiln.run="sh /script"'
    says 'kiln.run: exit status 0'
}

# told LABEL: exactly the events of standard input.
told() {
    cat >want
    tr -d '\r' <console | sed -n "s/^$1 \([0-9].*\)/\1/p" >got
    diff want got || fail "the $1 said something else (-: what it was to say)"
}

# A viewer's pointer at (1279, 799) turns the wheel up, and to the left (RFB 7.5.5).
cat >/tmp/turn-wheel <<'SCRIPT'
{
    printf 'RFB 003.008\n\001\001\005\010\004\377\003\037\005\000\004\377\003\037\005\040\004\377\003\037\005\000\004\377\003\037'
    sleep 5
} | nc 127.0.0.1 5951 >/dev/null
SCRIPT

# The virtio keyboard and tablet: a chord and a key, the pointer at two places, and the wheel.
tablet() {
    local kernel=$1
    shift
    cat >script <<'SCRIPT'
listen keyboard 'kiln keyboard'
listen tablet 'kiln tablet'
echo READY
await keyboard '1 30 0'
await tablet '2 12 -120'
tell keyboard
tell tablet
SCRIPT
    hands sh -ec '
        kiln keys lab ctrl-alt-f2 a
        kiln click lab 10 20 --button right
        kiln click lab 1279 799
        sh /tmp/turn-wheel'
    desk "$kernel" --display vnc=127.0.0.1:5951 "$@"
    printf '1 %s\n' '29 1' '56 1' '60 1' '60 0' '56 0' '29 0' '30 1' '30 0' | told keyboard
    # 32767 is the far edge; steps of the wheel are told in 120ths, too.
    told tablet <<'EVENTS'
3 0 256
3 1 820
1 273 1
1 273 0
3 0 32767
3 1 32767
1 272 1
1 272 0
2 8 1
2 11 120
2 6 -1
2 12 -120
EVENTS
}

# A virtio mouse is told how far to go.
mouse() {
    cat >script <<'SCRIPT'
listen mouse 'kiln mouse'
echo READY
await mouse '1 276 0'
tell mouse
SCRIPT
    hands sh -ec '
        kiln click lab 10 20
        kiln click lab 7 40 --button forward'
    desk generic-6.1 --display none --input keyboard --input mouse
    printf '%s\n' '2 0 10' '2 1 20' '1 272 1' '1 272 0' '2 0 -3' '2 1 20' '1 276 1' '1 276 0' | told mouse
}

# When the virtio driver has gone, the PS/2 keyboard and mouse take it all. A packet of the mouse goes 255 pixels at most, so ways are added up.
ps2() {
    cat >script <<'SCRIPT'
rmmod virtio_input
listen keyboard 'AT Translated Set 2 keyboard'
listen mouse 'ImExPS/2 Generic Explorer Mouse'
echo READY
await keyboard '1 30 0'
await mouse '2 8 1'
tell keyboard
tell mouse >/tmp/said
grep -v 'mouse 2 [01]' /tmp/said
awk '/mouse 2 0/ { x += $4 } /mouse 2 1/ { y += $4 } END { print "way", x, y }' /tmp/said
SCRIPT
    hands sh -ec '
        kiln keys lab ctrl-alt-f2 a
        kiln click lab 700 500 --button right
        kiln click lab 1279 799 --button back
        sh /tmp/turn-wheel'
    desk generic-6.1 --display vnc=127.0.0.1:5951
    printf '1 %s\n' '29 1' '56 1' '60 1' '60 0' '56 0' '29 0' '30 1' '30 0' | told keyboard
    printf '%s\n' '1 273 1' '1 273 0' '1 275 1' '1 275 0' '2 8 1' | told mouse
    echo '1279 799' | told way
}

# A shell on the console of the screen carries out what is typed, and chords change consoles.
typed() {
    {
        echo "$1"
        cat <<'SCRIPT'
exec 4<>/dev/tty2
setsid -c sh </dev/tty1 >/dev/tty1 2>&1 &
echo READY
until grep -q tty2 /sys/class/tty/tty0/active; do usleep 100000; done
echo 'the second console'
SCRIPT
    } >script
    hands sh -ec '
        kiln type lab "echo \"<Fox> ~{6|7}?\" \"@\$((6*7))%^_\" | tr a-z A-Z >/dev/ttyS0
"
        kiln keys lab ctrl-alt-f2'
    desk generic-6.1 --display none
    says '<FOX> ~{6|7}? @42%^_'
    says 'the second console'
}

it "virtio keyboard and tablet, generic-6.1" tablet generic-6.1
it "virtio keyboard and tablet, generic-6.12, mmio" tablet generic-6.12 --transport mmio
it "virtio mouse" mouse
it "PS/2, when the virtio driver is gone" ps2
it "typed on the console, virtio" typed ''
it "typed on the console, PS/2" typed 'rmmod virtio_input'
