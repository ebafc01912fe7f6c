# shellcheck shell=dash disable=SC2016,SC2154 # the guest's shell and gdb expand what stands in quotes; pid is set by started
# Debuggers: gdb on the stub, drgn and crash on the memory of a kernel that panicked.

# started ARGUMENT...: `kiln run` of the stock kernel in the background, its addresses those of every other such boot (no KASLR).
started() {
    as_user kiln run --timeout 300s /guests/cloud-6.1/vmlinuz --initrd /guests/initrd-cloud-6.1.cpio --gdb=unix:stub,nowait "$@" >console 2>&1 </dev/null &
    pid=$!
}

# waits TEXT: until the guest has said it.
waits() {
    until grep -q "$1" console; do
        kill -0 "$pid" || { cat console; fail "kiln has ended before the guest said '$1'"; }
        sleep 1
    done
}

# address SYMBOL: in this host's kernel, which is the guest's, neither with KASLR.
address() { echo "0x$(grep -w "$1" /proc/kallsyms | sed -n "s/^\([0-9a-f]*\) [A-Za-z] $1\$/\1/p" | head -n 1)"; }

# Two vCPUs: the banner is read, a breakpoint is met, one instruction is stepped over, and the guest goes on to its end.
gdb_session() {
    started --cpus 2 --append "quiet nokaslr kiln.run=\"echo ready; sleep 20; hostname lab; echo on its way\""
    waits ready
    cat >commands <<GDB
set architecture i386:x86-64
set pagination off
target remote stub
info threads
x/s $(address linux_banner)
hbreak *$(address __x64_sys_sethostname)
continue
printf "met %d\n", \$pc == $(address __x64_sys_sethostname)
set \$before = \$pc
stepi
printf "stepped %d\n", \$pc != \$before && \$pc - \$before < 16
delete
break *$(address do_syscall_64)
continue
printf "soft %d\n", \$pc == $(address do_syscall_64)
delete
detach
GDB
    as_user timeout 250 gdb -nx -batch -x commands >session 2>&1 || { cat session; fail "gdb's exit status $?"; }
    cat session
    [ "$(grep -cE '^[* ] +[12] +Thread' session)" = 2 ] || fail "there are not two threads"
    says "Linux version $(uname -r) " session
    says 'met 1' session
    says 'stepped 1' session
    says 'soft 1' session
    wait "$pid" || { cat console; fail "kiln's exit status $?"; }
    says 'on its way'
}

# The guest's first instruction waits for the debugger, which may kill it.
gdb_waits() {
    as_user kiln run --timeout 300s /guests/cloud-6.1/vmlinuz --initrd /guests/hello.cpio --gdb=unix:stub >console 2>&1 </dev/null &
    pid=$!
    until [ -S stub ]; do sleep 1; done
    sleep 3
    ! grep -q HELLO console || fail "the guest has not waited"
    as_user timeout 100 gdb -nx -batch -ex 'set architecture i386:x86-64' -ex 'target remote stub' -ex 'p/x $pc' -ex kill >session 2>&1 || fail "gdb: $(cat session)"
    cat session
    local got=0
    wait "$pid" || got=$?
    [ "$got" != 0 ] || fail "a guest that was killed ended with status 0"
}

# A kernel that panicked, for those who look into it afterwards.
dumped() {
    local got=0
    as_user kiln run --timeout 240s --memory 256M --dump-on-panic core /guests/cloud-6.1/vmlinuz --initrd /guests/initrd-cloud-6.1.cpio \
        --append 'quiet kiln.run="echo c >/proc/sysrq-trigger"' >console 2>&1 </dev/null || got=$?
    cat console
    [ "$got" = 255 ] || fail "exit status $got"
    file core | grep 'ELF 64-bit LSB core file' || fail "no core: $(file core)"
    [ "$(stat -c '%a %U' core)" = '600 user' ] || fail "mode and owner of the core are $(stat -c '%a %U' core)"
    # There are no debug symbols here: what drgn knows is from VMCOREINFO, and memory is read by the addresses in it.
    python3 - core "$(uname -r)" <<'PYTHON'
import drgn, sys
core = drgn.Program()
core.set_core_dump(sys.argv[1])
assert core.flags & drgn.ProgramFlags.IS_LINUX_KERNEL, core.flags
note = core["VMCOREINFO"].string_().decode()
assert "OSRELEASE=" + sys.argv[2] in note, note
symbols = dict(line.split("=", 1) for line in note.splitlines() if "=" in line)
uts = core.read(int(symbols["SYMBOL(init_uts_ns)"], 16), 400)
assert sys.argv[2].encode() in uts and b"Linux" in uts, uts
print("drgn:", core.flags, len(note), "bytes of VMCOREINFO, init_uts_ns read")
PYTHON
}

# crash goes nowhere without a vmlinux that has symbols.
crashed() {
    local vmlinux
    vmlinux=/usr/lib/debug/boot/vmlinux-$(uname -r)
    [ -e "$vmlinux" ] || { echo "no $vmlinux: Debian's debug symbols are 800 MB" && exit 77; }
    dumped
    echo 'sys
bt
quit' | crash "$vmlinux" core >session 2>&1
    cat session
    says 'sysrq triggered crash' session
}

it "gdb: the banner, a breakpoint, a step, two vCPUs" gdb_session
it "gdb: the guest waits, and is killed" gdb_waits
it "--dump-on-panic: drgn opens the core" dumped
it "--dump-on-panic: crash opens the core" crashed
