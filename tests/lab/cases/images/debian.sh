# shellcheck shell=dash
# Debian's disk image: started by its name alone, from its own boot entries; nothing of it changes but what is to be kept.

debian=/images/debian.qcow2
default='6.1.0-[0-9]+-cloud-amd64'
generic='6.1.0-[0-9]+-amd64'

# up KERNEL BOOTS ROOT: what the image says when it is up.
up() { grep -qE "^DEBIAN IMAGE IS UP $1 boots=$2 root=$3" console || fail "the image does not say that it is up: $1, start $2, on $3"; }

# The base is as it was made, to the last byte.
unchanged() { (cd /images && grep " $1\$" SHA256SUMS | sha256sum -c -) || fail "$1 has changed"; }

by_name() {
    guest 0 $debian --throwaway
    up "$default" 1 /dev/vda3
}

# Two starts from one overlay: the second knows of the first, the base does not. A throw-away one before them has left no trace.
kept() {
    guest 0 $debian --throwaway --append 'kiln.run="dd if=/dev/urandom of=/junk bs=1M count=20; sync"'
    up "$default" 1 /dev/vda3
    guest 0 $debian --keep-as kept.qcow2 --append 'kiln.run="echo kept >/etc/motd"'
    up "$default" 1 /dev/vda3
    guest 0 kept.qcow2 --append 'kiln.run="cat /etc/motd; ls /junk"'
    up "$default" 2 /dev/vda3
    says kept
    says "No such file or directory"
    unchanged debian.qcow2
}

entries() {
    kiln run $debian --list-entries >list
    cat list
    entry=$(sed -nE "s/.*(Debian GNU.Linux, with Linux $generic) .*/\1/p" list | head -n 1)
    [ -n "$entry" ] || fail "the generic kernel has no entry"
    guest 0 $debian --throwaway --entry "$entry"
    up "$generic" 1 /dev/vda3
}

it "qcow2, by its name alone" by_name
it "thrown away, kept, started again; the base has its checksum" kept
it "an entry by its name" entries
