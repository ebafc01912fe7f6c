# A disk as Debian's installer leaves it, made around a tree without a loop device or a mount: GPT, a partition for BIOS's GRUB, EFI's, and the
# root on ext4. Sourced by the scripts that make disk images, after lib.sh; they set $work.
# shellcheck shell=bash

# place FILE SECTOR DISK: puts it there, keeping holes.
place() { dd if="$1" of="$3" bs=1M seek=$(($2 * 512)) oflag=seek_bytes conv=notrunc,sparse status=none; }
# number VALUE OFFSET FILE: a little-endian number of 64 bits.
number() {
    local bytes='' i
    for i in 0 8 16 24 32 40 48 56; do bytes+=$(printf '\\x%02x' $(($1 >> i & 255))); done
    printf '%b' "$bytes" | dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}

# bootable ROOT IMAGE UUID SPARE: makes the qcow2 image IMAGE of the tree ROOT, which has Debian, its kernels, GRUB and /etc/default/grub, with SPARE MiB
# more room than a fourth of what is there. UUID is the root file system's.
#
# GRUB is as its installer would leave it: its modules and core images, and grub.cfg by the scripts of /etc/grub.d. There is no disk yet that
# grub-probe could look at, so for that time another one answers for it.
bootable() {
    local root=$1 image=$2 uuid=$3 spare=$4 platform bios esp first size disk core
    mkdir -p "$root/boot/grub" "$root/boot/efi"
    mv "$root/usr/sbin/grub-probe" "$work/grub-probe"
    cat >"$root/usr/sbin/grub-probe" <<SCRIPT
#!/bin/sh
case "\$*" in
    *device*--target=fs_uuid* | *--target=fs_uuid*) echo $uuid ;;
    *--target=fs*) echo ext2 ;;
    *--target=partmap*) echo gpt ;;
    *--target=device*) echo /dev/sda3 ;;
    *--target=hints_string*) echo "--hint-bios=hd0,gpt3 --hint-efi=hd0,gpt3 --hint-baremetal=ahci0,gpt3" ;;
    *--target=compatibility_hint*) echo hd0,gpt3 ;;
    *--target=partuuid*) exit 1 ;;
esac
SCRIPT
    chmod 755 "$root/usr/sbin/grub-probe"
    mkdir -p "$root/dev/disk/by-uuid"
    touch "$root/dev/disk/by-uuid/$uuid"
    chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "grub-mkconfig failed (its words above)"
    }
    rm -r "$root/dev/disk"
    mv "$work/grub-probe" "$root/usr/sbin/grub-probe"
    for platform in i386-pc x86_64-efi; do
        mkdir "$root/boot/grub/$platform"
        cp "$root/usr/lib/grub/$platform"/*.{mod,lst} "$root/boot/grub/$platform/"
    done
    cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/grub/i386-pc/"
    chroot "$root" grub-mkimage -O i386-pc -p '(,gpt3)/boot/grub' -o /boot/grub/i386-pc/core.img biosdisk part_gpt ext2
    # shellcheck disable=SC2016 # GRUB's own variables
    printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' "$uuid" >"$work/grub.cfg"
    chroot "$root" grub-mkimage -O x86_64-efi -p /EFI/debian -o /boot/grub/x86_64-efi/core.efi fat part_gpt ext2 normal configfile search search_fs_uuid

    # EFI's own partition: GRUB where a disk that moves from machine to machine has it, and where Debian has it.
    truncate -s 8M "$work/esp"
    mkfs.vfat -i 4b494c4e -n EFI "$work/esp" >/dev/null
    mmd -i "$work/esp" ::EFI ::EFI/BOOT ::EFI/debian
    mcopy -i "$work/esp" "$root/boot/grub/x86_64-efi/core.efi" ::EFI/BOOT/BOOTX64.EFI
    mcopy -i "$work/esp" "$root/boot/grub/x86_64-efi/core.efi" ::EFI/debian/grubx64.efi
    mcopy -i "$work/esp" "$work/grub.cfg" ::EFI/debian/grub.cfg

    # Sectors: the partition of BIOS's GRUB, EFI's, and the root.
    bios=2048 esp=4096 first=$((4096 + 8 * 2048))
    size=$(du -sm "$root" | cut -f1)
    size=$((size + size / 4 + spare))
    truncate -s "${size}M" "$work/ext4"
    mke2fs -q -F -t ext4 -U "$uuid" -L root -E root_owner=0:0 -d "$root" "$work/ext4"
    disk=$work/disk
    truncate -s $(((first + size * 2048 + 2048) * 512)) "$disk"
    sfdisk --quiet "$disk" <<TABLE
label: gpt
start=$bios, size=2048, type=21686148-6449-6E6F-744E-656564454649
start=$esp, size=$((first - esp)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=$first, size=$((size * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
TABLE

    place "$work/esp" $esp "$disk"
    place "$work/ext4" $first "$disk"
    # What grub-bios-setup does: the boot sector knows where the core image begins (0x5c), the core image's first sector where the second is (0x1f4).
    core=$work/core.img
    cp "$root/boot/grub/i386-pc/core.img" "$core"
    number $((bios + 1)) $((0x1f4)) "$core"
    place "$core" $bios "$disk"
    head -c 440 "$root/boot/grub/i386-pc/boot.img" >"$work/mbr"
    number $bios $((0x5c)) "$work/mbr"
    dd if="$work/mbr" of="$disk" conv=notrunc status=none
    qemu-img convert -f raw -O qcow2 "$disk" "$image"
}
