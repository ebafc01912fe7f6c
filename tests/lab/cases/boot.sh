# shellcheck shell=dash
# Stock kernels reach user space and power off: every payload compression, one and several processors, both transports.

hello() {
    local kernel=$1 cpus=$2
    shift 2
    guest 0 "/guests/$kernel/vmlinuz" --initrd /guests/hello.cpio --cpus "$cpus" --append quiet --rng "$@"
    grep -qE "^HELLO FROM GUEST 6\..* cpus=$cpus\b" console || fail "no greeting from user space with $cpus processors"
}

i386() {
    guest 0 /guests/i386-6.1/vmlinuz --initrd /guests/hello-i386.cpio --append quiet
    grep -qE '^HELLO FROM GUEST 6\..*686-pae cpus=1' console || fail "no greeting from user space"
}

# Four sockets, cores and threads, each way, as Linux reads them back.
topology() {
    booted cloud-6.1 --cpus "sockets=$1,cores=$2,threads=$3" --append 'quiet kiln.run="lscpu"'
    for line in "CPU(s): $(($1 * $2 * $3))" "Thread(s) per core: $3" "Core(s) per socket: $2" "Socket(s): $1"; do
        tr -s ' \r' ' ' <console | grep -qF "$line" || fail "lscpu does not say '$line'"
    done
}

for kernel in cloud-6.1 generic-6.1 cloud-6.12; do
    for cpus in 1 4; do
        it "$kernel, $cpus vCPUs, pci" hello $kernel $cpus
        it "$kernel, $cpus vCPUs, mmio" hello $kernel $cpus --transport mmio
    done
done
it "cloud-6.1, unpacked by itself" hello cloud-6.1 1 --boot-decompressor
it "i386 kernel" i386
it "topology 2 sockets, 2 cores, 1 thread" topology 2 2 1
it "topology 1 socket, 2 cores, 2 threads" topology 1 2 2

# 5 GiB: 3 below the PCI hole, 2 above 4 GiB.
memory_above() {
    booted cloud-6.1 --memory 5G --append 'quiet kiln.run="grep MemTotal /proc/meminfo; cat /proc/iomem"'
    grep -qE '^MemTotal: +(49|50|51)[0-9]{5} kB' console || fail "the guest does not have 5 GiB"
    says '100000000-17fffffff : System RAM'
}
it "memory above 4 GiB" memory_above
