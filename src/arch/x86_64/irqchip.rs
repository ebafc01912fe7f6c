//! The interrupt controllers and the timer that KVM keeps, back to power-on.

use super::layout;
use crate::kvm::Vm;
use anyhow::{Context, Result};
use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_ioapic_state, kvm_irqchip, kvm_pic_state,
    kvm_pit_state2,
};

/// PICs, IOAPIC and PIT as KVM_CREATE_IRQCHIP and KVM_CREATE_PIT2 made them. The clock (kvmclock) goes on.
/// Devices have lowered their lines before, and no vCPU runs; the vCPUs with their local APICs are reset after.
pub fn reset(vm: &Vm) -> Result<()> {
    let vm = vm.fd();
    // First, so that no tick arrives at a chip that has been reset.
    vm.set_pit2(&pit()).context("reset timer")?;
    // The lines that may be level triggered: not the timer's, the keyboard's, the cascade's, the clock's and the FPU's.
    for (chip_id, elcr_mask) in [(KVM_IRQCHIP_PIC_MASTER, 0xf8), (KVM_IRQCHIP_PIC_SLAVE, 0xde)] {
        let mut chip = kvm_irqchip { chip_id, ..Default::default() };
        chip.chip.pic = kvm_pic_state { elcr_mask, ..Default::default() };
        vm.set_irqchip(&chip).context("reset PIC")?;
    }
    let mut chip = kvm_irqchip { chip_id: KVM_IRQCHIP_IOAPIC, ..Default::default() };
    chip.chip.ioapic = ioapic();
    vm.set_irqchip(&chip).context("reset IOAPIC")
}

fn ioapic() -> kvm_ioapic_state {
    let mut state = kvm_ioapic_state { base_address: layout::IOAPIC, ..Default::default() };
    for entry in &mut state.redirtbl {
        entry.bits = 1 << 16; // masked
    }
    state
}

/// No mode yet, so nothing counts. The gate of channel 2 (the speaker's) is closed.
fn pit() -> kvm_pit_state2 {
    let mut state = kvm_pit_state2::default();
    for (n, channel) in state.channels.iter_mut().enumerate() {
        channel.mode = 0xff;
        channel.gate = u8::from(n != 2);
        channel.count = 0x1_0000;
    }
    state
}

#[cfg(test)]
mod tests;
