use super::*;

#[test]
fn windows_are_told_as_linux_reads_them() {
    assert_eq!(parameters(0), "");
    assert_eq!(parameters(2), " virtio_mmio.device=512@0xf0000000:5 virtio_mmio.device=512@0xf0001000:10");
    assert_eq!(parameters(99).split_whitespace().count(), layout::IRQ_VIRTIO_MMIO.len());
}
