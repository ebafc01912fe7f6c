# shellcheck shell=dash
# A host without room for what the guest writes: it gets errors, or it stands still until there is room.

# 16 MiB, of which the ballast has 12; the guest wants 8. In a raw image, or in an overlay.
little() {
    mkdir little
    mount -t tmpfs -o size=16m little little
    dd if=/dev/zero of=little/ballast bs=1M count=12 2>/dev/null
    truncate -s 64M base little/disk
    case $1 in
        raw) disk=little/disk,format=raw ;;
        qcow2) rm little/disk && disk=base,format=raw,keep-as=little/disk ;;
    esac
}
write='yes kiln | head -c 8388608 | dd of=/dev/vda bs=64k conv=fsync'

reports() {
    little "$1"
    booted cloud-6.1 --disk "$disk" --append "quiet kiln.run=\"$write\""
    says 'kiln.run: exit status 1'
    says 'on-enospc=stop'
    umount little
}

goes_on() {
    little "$1"
    (
        until grep -q 'until there is room' console; do [ -e /tmp/case ] && sleep 1 || exit; done
        sleep 3
        rm little/ballast
        touch made-room
    ) &
    booted cloud-6.1 --disk "$disk,on-enospc=stop" --append "quiet kiln.run=\"$write\""
    says 'kiln.run: exit status 0'
    [ -e made-room ] || fail "nobody had to wait for room"
    booted cloud-6.1 --disk "little/disk,readonly,format=$1" --append 'quiet kiln.run="head -c 8388608 /dev/vda | sha256sum"'
    says "$(yes kiln | head -c 8388608 | sha256sum | cut -d' ' -f1)"
    umount little
}

for format in raw qcow2; do
    it "reported, $format" reports $format
    it "waited for, $format" goes_on $format
done
