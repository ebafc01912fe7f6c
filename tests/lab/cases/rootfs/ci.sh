# shellcheck shell=dash disable=SC2016 # the guest's shell expands what stands in quotes
# kiln ci: matrices of boots.

# matrix STATUS ARGUMENT...: `kiln ci` as the ordinary user on the file kiln.toml from standard input.
matrix() {
    local want=$1 got=0
    shift
    cat >kiln.toml
    as_user kiln ci "$@" >out 2>err </dev/null || got=$?
    cat out err
    [ "$got" = "$want" ] || fail "exit status $got instead of $want"
}

# Three kernels on two machines: one boot panics, one hangs, one fails when it is tried first.
mixed() {
    as_user mkdir state
    matrix 1 -j 2 <<TOML
[defaults]
memory = "512M"
timeout = "90s"
rw = "$PWD/state"
[kernels.panics]
path = "/guests/cloud-6.1/vmlinuz"
[kernels.hangs]
path = "/guests/generic-6.1/vmlinuz"
[kernels.flaky]
path = "/guests/cloud-6.12/vmlinuz"
retry = 1
[machines.one]
env = { MACHINE = "one" }
[machines.two]
transport = "mmio"
env = { MACHINE = "two" }
[tests.work]
command = '''
echo "here is \$(uname -r) on \$MACHINE"
case \$(uname -r).\$MACHINE in
    6.1.0*-cloud-amd64.two) echo c >/proc/sysrq-trigger; sleep 100 ;;
    6.1.0*-cloud-amd64.one) ;;
    6.1.0*-amd64.one) sleep 1000 ;;
    6.12*.one) [ -e $PWD/state/tried ] || { touch $PWD/state/tried; exit 1; } ;;
esac
'''
TOML
    for row in 'panics +one +ok' 'panics +two +FAILED' 'hangs +one +FAILED' 'hangs +two +ok' 'flaky +one +flaky' 'flaky +two +ok'; do
        grep -qE "^ *$row\b" out || fail "the table has no row like '$row'"
    done
    says 'sysrq triggered crash' out
    as_user python3 /lab/cases/rootfs/reports.py kiln-ci
}

# What a run leaves behind besides its reports: nothing but the directory of the control sockets, which is empty.
left() {
    pgrep -l kiln || true
    find /tmp /var/tmp /dev/shm /run -path /run/out -o -path /run/err -o -path /tmp/kiln-1000 -o -print 2>/dev/null
    echo
}

# Eight at a time, where there is one processor, with words that must not get lost or mixed up.
eight() {
    as_user mkdir state
    left >before
    matrix 0 -j 8 --memory 4G <<TOML
[defaults]
memory = "256M"
timeout = "15m"
rw = "$PWD/state"
[kernels.stock]
path = "/boot/vmlinuz-$(uname -r)"
$(for n in 1 2 3 4 5 6 7 8; do printf '[tests.t%s]\ncommand = "seq %s000 %s999; echo %s >%s/state/%s"\nexpect = { output = "%s999" }\n' $n $n $n $n "$PWD" $n $n; done)
TOML
    left >after
    diff before after || fail "something is left"
    for n in 1 2 3 4 5 6 7 8; do
        [ "$(cat state/$n)" = $n ] || fail "boot $n has not written its file"
        [ "$(grep -rhE " out +${n}[0-9]{3}\$" kiln-ci --include='*.log' | wc -l)" = 1000 ] || fail "lines of boot $n are missing in its log"
        [ "$(grep -rlE " out +${n}[0-9]{3}\$" kiln-ci --include='*.log' | wc -l)" = 1 ] || fail "lines of boot $n are in another's log"
    done
    [ "$(grep -c '"verdict":"passed","reasons"' kiln-ci/results.jsonl)" = 8 ] || fail "results.jsonl does not have eight that passed"
}

# Ctrl-C ends the guests, and there are reports.
interrupted() {
    printf '[defaults]\nmemory = "256M"\n[kernels.stock]\npath = "/boot/vmlinuz-%s"\n[tests.a]\ncommand = "sleep 1000"\n[tests.b]\ncommand = "true"\n' "$(uname -r)" >kiln.toml
    local got=0
    as_user timeout -s INT 30 kiln ci -j 1 </dev/null >out 2>err || got=$?
    cat out err
    # 124 is timeout's word for having sent the signal.
    [ "$got" = 124 ] || [ "$got" = 130 ] || fail "exit status $got"
    ! pgrep kiln || fail "kiln is still there"
    as_user python3 -c 'import xml.etree.ElementTree as x; assert len(list(x.parse("kiln-ci/junit.xml").getroot().iter("testcase"))) == 2'
}

refused() {
    local line=$1 why=$2
    matrix 125
    says "$line" err
    says "$why" err
}

misspelt() {
    printf '[tests.a]\ncommand = "true"\ntimout = "3s"\n' | refused 3 timout
}

it "3 x 2, with a panic, a hang and a flaky one" mixed
it "eight at a time" eight
it "Ctrl-C" interrupted
it "a key that does not exist: 125" misspelt
