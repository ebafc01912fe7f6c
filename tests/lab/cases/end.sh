# shellcheck shell=dash
# The ways a guest ends, and the exit status of each.

reboot_restarts() {
    mkroot disk
    # The disk remembers the first start, so that the second one powers off.
    booted cloud-6.1 --disk disk --reboot restart \
        --append 'quiet root=/dev/vda kiln.run="[ -e /seen ] && echo SECOND START || { touch /seen; sync; echo FIRST START; reboot -f; }"'
    says 'FIRST START'
    says 'SECOND START'
}

reboot_exits() {
    booted cloud-6.1 --reboot exit --append 'quiet kiln.run="echo FIRST START; reboot -f"'
    [ "$(grep -c 'FIRST START' console)" = 1 ] || fail "the guest did not start exactly once"
}

# A panic, told by pvpanic where the driver is loaded and by the console otherwise.
panics() {
    guest 255 /guests/cloud-6.1/vmlinuz --initrd /guests/initrd-cloud-6.1.cpio --append "quiet $1 kiln.run=\"echo c >/proc/sysrq-trigger\""
    says 'Kernel panic - not syncing: sysrq triggered crash'
}

no_init() {
    guest 255 /guests/cloud-6.1/vmlinuz --append quiet
    says 'Unable to mount root fs'
}

# panic=-1 restarts at once, and a triple fault is one of the ways to restart.
triple_fault() {
    guest 254 /guests/cloud-6.1/vmlinuz --initrd /guests/initrd-cloud-6.1.cpio --append 'quiet reboot=t kiln.run="reboot -f"'
}

time_is_up() {
    limit=12s guest 124 /guests/cloud-6.1/vmlinuz --initrd /guests/initrd-cloud-6.1.cpio --append 'quiet kiln.run="sleep 1000"'
}

# One line on standard error that names the object, status 125, and no guest.
refused() {
    local object=$1
    shift
    guest 125 "$@"
    says "$object"
    [ "$(wc -l <console)" = 1 ] || fail "more than one line"
}

truncated() {
    head -c 3000000 /guests/cloud-6.1/vmlinuz >short
    refused short short
}

it "power-off: 0" booted cloud-6.1 --append 'quiet kiln.run=true'
it "reboot restarts" reboot_restarts
it "reboot exits: 0" reboot_exits
it "panic: 255" panics ""
it "panic with panic=-1: 255" panics panic=-1
it "no root file system: 255" no_init
it "triple fault: 254" triple_fault
it "time is up: 124" time_is_up
it "no kernel at the path: 125" refused /nope/vmlinuz /nope/vmlinuz
it "no initrd at the path: 125" refused /nope/initrd /guests/cloud-6.1/vmlinuz --initrd /nope/initrd
it "no disk at the path: 125" refused /nope/disk /guests/cloud-6.1/vmlinuz --disk /nope/disk
it "kernel cut short: 125" truncated
it "text as a kernel: 125" refused /lab/run /lab/run
