use super::*;
use crate::kvm::{self, Reserved};
use crate::mem::Memory;

fn vm() -> Option<(Vm, Memory)> {
    let kvm = kvm::open().inspect_err(|e| eprintln!("skip: {e:#}")).ok()?;
    let memory = Memory::new(&layout::ram(1 << 20), None).unwrap();
    let reserved = Reserved { identity_map: layout::IDENTITY_MAP, tss: layout::TSS };
    Some((Vm::new(&kvm, &memory, &reserved).unwrap(), memory))
}

/// All state but times, as text.
fn state(vm: &Vm) -> String {
    let mut pit = vm.fd().get_pit2().unwrap();
    for channel in &mut pit.channels {
        channel.count_load_time = 0;
    }
    let chips =
        [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC].map(|id| vm.irqchip(id)[..216].to_vec());
    format!("{chips:x?} {pit:x?}")
}

#[test]
fn a_reset_is_what_kvm_started_with() {
    let Some((vm, _memory)) = vm() else { return };
    let before = state(&vm);
    let mut chip = kvm_irqchip { chip_id: KVM_IRQCHIP_PIC_MASTER, ..Default::default() };
    chip.chip.pic = kvm_bindings::kvm_pic_state {
        imr: 0xfb,
        irq_base: 0x20,
        init4: 1,
        elcr: 8,
        elcr_mask: 0xf8,
        ..Default::default()
    };
    vm.fd().set_irqchip(&chip).unwrap();
    let mut chip = kvm_irqchip { chip_id: KVM_IRQCHIP_IOAPIC, ..Default::default() };
    let mut changed = ioapic();
    changed.redirtbl[4].bits = 0x24;
    changed.id = 5;
    changed.ioregsel = 0x18;
    chip.chip.ioapic = changed;
    vm.fd().set_irqchip(&chip).unwrap();
    let mut pit = vm.fd().get_pit2().unwrap();
    (pit.channels[0].mode, pit.channels[0].count, pit.channels[2].gate) = (2, 1193, 1);
    vm.fd().set_pit2(&pit).unwrap();
    assert_ne!(state(&vm), before);
    // A tick has come, and the next is due at any moment.
    while vm.irqchip(KVM_IRQCHIP_PIC_MASTER)[1] & 1 == 0 {
        std::thread::yield_now();
    }
    reset(&vm).unwrap();
    assert_eq!(state(&vm), before);
}

#[test]
fn pins_are_numbered_as_the_madt_says() {
    let Some((vm, _memory)) = vm() else { return };
    // Bytes 16..20 of the IOAPIC's state: the pins that have a request.
    let requests = |vm: &Vm| u32::from_le_bytes(vm.irqchip(KVM_IRQCHIP_IOAPIC)[16..20].try_into().unwrap());
    let check = |vm: &Vm| {
        for gsi in 0..24 {
            let line = vm.line(gsi);
            line.set(true);
            assert_eq!(requests(vm), 1 << gsi, "interrupt {gsi}");
            line.set(false);
        }
    };
    check(&vm);
    // The first message makes kiln set the routes itself, which must not move a pin.
    let message = crate::irq::Messages::allocate(&vm).unwrap();
    message.program(0xfee0_0000, 0x31).unwrap();
    check(&vm);
}
