#!/bin/sh
# Makes the packed kernels of this directory again, with the options Linux's build uses (scripts/Makefile.lib).
# Needs bzip2, gzip, lz4, lzop, xz-utils, zstd.
set -eu
cd "$(dirname "$0")"
KILN_WRITE_SAMPLE=$PWD/kernel cargo test --quiet --bin kiln every_method_gives_back_the_kernel || true
gzip -n -9 <kernel >kernel.gz
bzip2 -9 <kernel >kernel.bz2
xz --format=lzma -9 <kernel >kernel.lzma
xz --check=crc32 --x86 --lzma2=dict=32MiB <kernel >kernel.xz
lzop -9 <kernel >kernel.lzo
lz4 -l -9 - - <kernel >kernel.lz4
zstd -q -22 --ultra --long=27 <kernel >kernel.zst
rm kernel
cargo test --quiet --bin kiln every_method_gives_back_the_kernel
