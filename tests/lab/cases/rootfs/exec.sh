# shellcheck shell=dash disable=SC2016 # the guest's shell expands what stands in quotes
# kiln exec: a command in a fresh kernel on this host's own files, mostly as the ordinary user.

stock=/boot/vmlinuz-$(uname -r)

# --- how it ends ---------------------------------------------------------------------------------------------------------------------------

panics() {
    execs 255 -- sh -c 'echo said before; echo c >/proc/sysrq-trigger; sleep 100'
    says 'Kernel panic - not syncing: sysrq triggered crash' err
    says 'said before' out
    ! grep -q panic out || fail "the panic is on standard output, which is the command's"
}

# What is left of a command that is killed from outside: nothing, on either side.
time_is_up() {
    limit=30s execs 124 -- sleep 1000
    ! pgrep kiln || fail "kiln is still there"
}

# --- streams -------------------------------------------------------------------------------------------------------------------------------

separate() {
    execs 7 --kernel "$stock" -- sh -c 'cat; echo out; echo err >&2; for fd in 0 1 2; do test -t $fd && echo terminal; done; uname -r; id -u; exit 7'
    printf '%s\n' out "$(uname -r)" 0 | cmp - out
    says err err
    ! grep -q out err || fail "standard output is on standard error"
}

closed() {
    as_user kiln exec --timeout 240s -- sh -c 'cat; echo still here' <&- >out 2>err || fail "exit status $?: $(cat err)"
    says 'still here' out
}

# An input that never ends does not hold a command that does not read it, and a closed output is not the end of it.
half_closed() {
    mkfifo never
    sleep 1000 >never &
    input=never execs 9 -- sh -c 'exec >&-; echo late >&2; exit 9'
    kill $!
    says late err
}

broken_pipe() {
    { as_user kiln exec --timeout 240s -- yes 2>err || echo $? >status; } | head -n 1
    says 141 status
}

# 64 MiB of all there is, both ways.
binary() {
    head -c 64M /dev/urandom >sent
    input=sent execs 0 --memory 1G -- sh -c 'tee /tmp/copy; sha256sum </tmp/copy >&2'
    cmp sent out
    says "$(sha256sum <sent)" err
}

# Standard input, output and error are a terminal's: its size, its change of size, its interrupt character.
terminal() {
    as_user script -qec "stty rows 33 cols 101; kiln exec --timeout 240s -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size && exit 8'" typescript || [ $? = 8 ]
    says '33 101' typescript
    as_user python3 /lab/cases/rootfs/terminal.py kiln exec --timeout 240s
}

# --- files ---------------------------------------------------------------------------------------------------------------------------------

# All that a file system tells of its files, but for the times of reading; and the contents of some. No write escapes the time of change.
fingerprint() {
    find / -xdev -path /home/user/case -prune -o -printf '%p %i %y %m %n %U %G %s %T@ %C@ %l\n' | sort
    find /etc /boot /usr/sbin -xdev -type f -exec sha256sum {} + | sort
}

# As root, who may do it on the host; the guest goes through everything with a rake.
nothing_lands() {
    mkdir kept
    # The directory of control sockets, which kiln would make.
    install -d -m 700 /tmp/kiln-0
    fingerprint >before
    who=root execs 3 --rw "$PWD/kept" -- sh -c '
        set -e
        for file in /etc/passwd /etc/profile /usr/bin/file /boot/config-*; do echo more >>$file; done
        chmod 777 /etc/shadow
        chown 12:13 /etc/group
        mv /etc/hosts /etc/stsoh
        ln -s / /etc/loop
        ln /etc/fstab /etc/hard || ln /etc/profile /etc/hard
        mkdir -p /new/directory
        rm -r /usr/share/python3
        rmdir /srv
        truncate -s 0 /usr/bin/gdb
        touch -d 1990-01-01 /etc/profile
        setfattr -n trusted.lab -v x /etc/bash.bashrc
        mknod /etc/null c 1 3
        test -e /etc/stsoh -a ! -e /usr/share/python3 -a ! -s /usr/bin/gdb -a -u /usr/bin/su -a "$(stat -c %u /etc/group)" = 12
        echo it is so >kept/word
        sync
        exit 3'
    fingerprint >after
    diff before after || fail "the host's files have changed"
    says 'it is so' kept/word
}

# Two writable directories and one that is not; links out of them lead to the guest's own files.
writable() {
    as_user mkdir a b c
    echo secret | as_user tee secret >/dev/null
    as_user ln -s ../secret a/out
    as_user ln -s /home/user/case/secret a/absolute
    execs 0 --rw "$PWD/a" --rw "$PWD/b" --ro "$PWD/c" -- sh -c '
        set -e
        echo one >a/file && mkdir b/directory && echo two >b/directory/file && chmod 751 b/directory/file
        mv a/file b/moved
        ! touch c/file
        echo written >a/out || true
        echo written >a/absolute || true
        echo written >secret || true
        ln -s /etc a/etc; ln -s ../../../.. a/up
        echo written >a/etc/new || true
        echo written >a/up/new || true
        rm -f a/../secret'
    says one b/moved
    says two b/directory/file
    [ "$(stat -c '%a %U' b/directory/file)" = '751 user' ] || fail "mode and owner of the file are $(stat -c '%a %U' b/directory/file)"
    [ "$(cat secret)" = secret ] || fail "the file beside the writable directory has changed"
    [ ! -e c/file ] || fail "a read-only directory has been written to"
    [ ! -e /new ] && [ ! -e /etc/new ] || fail "a link led out of the writable directory"
}

# The same calls on this host's own disk and on the shared directory have the same results, as root and as the ordinary user.
posix() {
    local suite="python3 /lab/cases/rootfs/posix.py"
    mkdir disk shared
    [ "$1" = root ] || chown user:user disk shared
    if [ "$1" = root ]; then $suite disk >disk.txt; else as_user $suite disk >disk.txt; fi
    who=$1 execs 0 --user "$1" --rw "$PWD/shared" -- $suite shared
    diff disk.txt out || fail "the shared directory behaves unlike the disk (<)"
    [ "$(wc -l <out)" -gt 100 ] || fail "the suite has not run"
}

# --- what it is told -----------------------------------------------------------------------------------------------------------------------

told() {
    execs 0 --kernel "$stock" --env 'GREETING=hello there' --env EMPTY= --cwd /usr/share --user user --cpus 2 --memory 700M -- \
        sh -c 'echo "$GREETING,$EMPTY,$HOME"; pwd; id -un; id -gn; nproc; touch /home/user/mine && stat -c %U /home/user/mine'
    printf '%s\n' 'hello there,,/home/user' /usr/share user user 2 user | diff - out
}

# The kernel is found by its path, its modules by its release.
kernel() {
    execs 0 --kernel "/guests/$1/vmlinuz" -- uname -r
    grep -qx "$2" out || fail "another kernel: $(cat out)"
}

tree() {
    mkdir -p arch/x86/boot
    cp /guests/cloud-6.12/vmlinuz arch/x86/boot/bzImage
    execs 0 -- uname -r
    grep -q '^6\.12' out || fail "another kernel: $(cat out)"
}

# Refused before there is a guest: 125, and a line that says why.
refused() {
    local why=$1
    shift
    execs 125 "$@"
    grep -qi -- "$why" err || fail "'$why' is not on standard error"
    [ ! -s out ] || fail "there is something on standard output"
    ! grep -q 'Linux version' err || fail "there was a guest"
}

# A copy of this kernel's modules, without one.
without_module() {
    mkdir modules
    cp -r "/lib/modules/$(uname -r)/." modules
    find modules -name "$1.ko*" -delete
    grep -v "^[^:]*/$1\.ko" "/lib/modules/$(uname -r)/modules.dep" >modules/modules.dep
    chmod -R a+rX modules
    refused "$2" --kernel "$stock" --modules "$PWD/modules" -- true
}

# --- a guest that means harm -----------------------------------------------------------------------------------------------------------------

agent_stays() {
    execs 3 -- sh -c 'kill -9 1; kill -STOP 1; kill -SEGV 1; for port in /dev/vport* /dev/hvc*; do echo forged >$port; done; sleep 1; exit 3'
}

# The agent's connection is torn away under it. That is not the command's end, whatever the command says.
channel_lost() {
    local got=0
    as_user kiln exec --timeout 120s -- sh -c '
        for driver in virtio_console virtio_vsock vmw_vsock_virtio_transport; do
            for device in /sys/bus/virtio/drivers/$driver/virtio*; do echo ${device##*/} >/sys/bus/virtio/drivers/$driver/unbind; done
        done
        sleep 20; exit 0' </dev/null >out 2>err || got=$?
    cat err
    case $got in 125 | 254 | 255) ;; *) fail "exit status $got" ;; esac
}

flood() {
    execs 6 -- sh -c 'yes flood >/dev/console & yes flood >/dev/kmsg & yes flood >/dev/ttyS0 & sleep 5; exit 6'
    [ "$(stat -c %s err)" -lt 100000000 ] || fail "the flood arrived"
}

full() {
    execs 5 --memory 512M -- sh -c 'dd if=/dev/zero of=/var/fill bs=1M; rm /var/fill; exit 5'
    says 'No space left on device' err
}

fork_bomb() {
    local got=0
    as_user kiln exec --timeout 40s --memory 512M -- sh -c 'b() { b | b & }; b; sleep 1000' </dev/null >out 2>err || got=$?
    case $got in 124 | 137 | 254 | 255) ;; *) fail "exit status $got" ;; esac
    ! pgrep kiln || fail "kiln is still there"
}

it "true: 0" execs 0 -- true
it "false: 1" execs 1 -- false
it "exit 42: 42" execs 42 -- sh -c 'exit 42'
it "not found: 127" execs 127 -- /usr/bin/nope
it "not executable: 126" execs 126 -- /etc/passwd
it "death by signal: 128 + 15" execs 143 -- sh -c 'kill -TERM $$'
it "panic: 255, and its text" panics
it "time is up: 124" time_is_up
it "three streams" separate
it "standard input is closed" closed
it "half-closed streams" half_closed
it "the reader of the output goes away" broken_pipe
it "64 MiB both ways" binary
it "terminal" terminal
it "nothing lands outside --rw" nothing_lands
it "--rw twice, --ro, links that lead out" writable
it "a shared directory behaves like a disk, root" posix root
it "a shared directory behaves like a disk, user" posix user
it "--env, --cwd, --user, --cpus, --memory" told
it "kernel cloud-6.1" kernel cloud-6.1 '6\.1\..*-cloud-amd64'
it "kernel generic-6.1" kernel generic-6.1 '6\.1\.[0-9-]*-amd64'
it "kernel cloud-6.12" kernel cloud-6.12 '6\.12\..*-cloud-amd64'
it "the kernel tree at hand" tree
it "i386 kernel: 125" refused 64-bit --kernel /guests/i386-6.1/vmlinuz -- true
it "kernel without virtio-fs: 125" without_module virtiofs CONFIG_VIRTIO_FS
it "kernel without overlayfs: 125" without_module overlay CONFIG_OVERLAY_FS
it "no kernel at the path: 125" refused /nope/vmlinuz --kernel /nope/vmlinuz -- true
it "no directory to share: 125" refused /nope/share --rw /nope/share -- true
it "signals and forged words do not end the agent" agent_stays
it "a lost channel is not 0" channel_lost
it "console flood" flood
it "tmpfs full" full
it "fork bomb" fork_bomb
