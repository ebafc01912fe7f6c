//! The guest of the display tests and of tests/bench/screen: draws, and says on ttyS0 what it is given by keyboard and pointer.
//! Its set-up and what virtio devices have in common are those of the self-test's guest; it is entered as Linux is (so it gets a zero page with
//! the framebuffer in it) or, by QEMU, by PVH.
//!
//! Command line, any of:
//! - `early=N`: picture N on the framebuffer that is there from the first instruction
//! - `ps2`: every byte of the PS/2 keyboard and mouse, as `ps2 key XX`, `ps2 aux XX`
//! - `gpu=N`: picture N through virtio-gpu, in the preferred size, and again in each size that is wished for; `cursor`: with a pointer
//! - `input`: every event of the virtio-input devices, as `input DEVICE TYPE CODE VALUE`
//! - `sound=MS`: a tone on each channel of virtio-snd, 441 Hz and 735 Hz, for so many milliseconds; `sound begins`, `sound ends`
//! - `rate=HZ`, `frames=K`: so many further pictures, each other than the last in every pixel; a line `flush N` before each is shown
//! - `echo=KEY`: the next picture when virtio-input's key with this code is pressed
//! - `idle`: nothing of its own happens any more (else a tick makes up for a lost interrupt)
//!
//! `ready` is said when all that is done. A power button or the end of the machine ends it.

#![no_std]
#![no_main]
#![allow(dead_code)]

extern crate alloc;

#[path = "../../src/selftest/guest"]
mod base {
    pub mod acpi;
    pub mod apic;
    pub mod cpu;
    pub mod pci;
    pub mod port;
    pub mod rt;
    pub mod smp;
    pub mod start;
    pub mod tap;
    pub mod time;
    pub mod virtio;
}
use base::*;

#[path = "guest/early.rs"]
mod early;
#[path = "guest/gpu.rs"]
mod gpu;
#[path = "guest/input.rs"]
mod input;
#[path = "picture.rs"]
mod picture;
#[path = "guest/ps2.rs"]
mod ps2;
#[path = "guest/sound.rs"]
mod sound;

use alloc::string::String;
use alloc::vec::Vec;
use cpu::Page;
pub use start::Context;
use tap::line;

pub type Result<T = (), E = String> = core::result::Result<T, E>;

#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($why:tt)*) => {
        if !$cond {
            return Err($crate::tap::text(format_args!($($why)*)));
        }
    };
}

// Linux's 64-bit entry (Documentation/arch/x86/boot.rst): long mode, rsi has the zero page. Back to protected mode, and on as if entered by PVH.
// The note beside PVH's own tells a loader that this entry is meant.
core::arch::global_asm!(
    r#"
        .section .note.pvh, "a", @note
        .balign 4
        .long 6, 0, 0x101
        .asciz "Linux"
        .balign 4

        .section .text.boot, "ax", @progbits
        .code64
        .global linux64
linux64:
        cli
        movl %esi, %ebx
        movl $boot_stack_end, %esp
        lgdtq 4f
        pushq $0x18
        pushq $3f
        lretq
        .code32
3:      movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl %cr0, %eax
        andl $0x7fffffff, %eax
        movl %eax, %cr0
        movl $0xc0000080, %ecx
        xorl %eax, %eax
        xorl %edx, %edx
        wrmsr
        jmp start32
        .balign 8
4:      .word 63
        .quad gdt
        .code64
        .text
"#,
    options(att_syntax)
);

/// Everything that can have something to say.
#[derive(Default)]
struct All {
    early: Option<early::Early>,
    gpu: Option<gpu::Gpu>,
    ps2: Option<ps2::Ps2>,
    inputs: Vec<input::Input>,
    sound: Option<sound::Sound>,
    /// The number of the picture that is shown.
    picture: u32,
    /// The key that asks for the next one.
    echo: Option<u16>,
}

#[unsafe(no_mangle)]
extern "C" fn main(info: u64, _: u64) -> ! {
    let context = start::begin(info);
    pci::place_bars();
    match run(&context) {
        Ok(()) => tap::exit(0),
        Err(why) => tap::bail(format_args!("{why}")),
    }
}

fn run(context: &Context) -> Result {
    let mut all = All { echo: context.number("echo").map(|key| key as u16), ..All::default() };
    if let Some(n) = context.number("early") {
        let screen = early::Early::open(context)?;
        all.picture = n as u32;
        screen.draw(all.picture);
        all.early = Some(screen);
    }
    if context.has("ps2") {
        all.ps2 = Some(ps2::Ps2::open()?);
    }
    if let Some(n) = context.number("gpu") {
        let mut gpu = gpu::Gpu::open(context)?;
        all.picture = n as u32;
        gpu.begin(all.picture)?;
        if context.has("cursor") {
            gpu.point(100, 80)?;
        }
        all.gpu = Some(gpu);
    }
    if context.has("input") {
        all.inputs = input::open(context)?;
    }
    if let Some(milliseconds) = context.number("sound") {
        all.sound = Some(sound::Sound::begin(context, milliseconds)?);
    }
    line(format_args!("ready"));
    if let Some(rate) = context.number("rate") {
        all.frames(rate, context.number("frames").unwrap_or(u64::MAX))?;
    }
    all.serve()
}

impl All {
    /// Whatever has come is dealt with; and then, until something else does, nothing happens.
    fn serve(&mut self) -> Result {
        // Interrupts are let in only while the processor is halted: what is looked at before cannot come unseen.
        cpu::interrupts(false);
        loop {
            self.look()?;
            let page = Page::boot();
            page.halt(0xfe, page.count(0xfe));
        }
    }

    fn look(&mut self) -> Result {
        if let Some(ps2) = &mut self.ps2 {
            ps2.look();
        }
        let mut pressed = false;
        for (n, input) in self.inputs.iter_mut().enumerate() {
            for event in input.events()? {
                pressed |= event.kind == input::EV_KEY && event.value == 1 && Some(event.code) == self.echo;
                if self.echo.is_none() {
                    line(format_args!("input {n} {} {} {}", event.kind, event.code, event.value as i32));
                }
            }
        }
        if pressed {
            self.next()?;
        }
        if let Some(sound) = &mut self.sound {
            sound.look()?;
        }
        if let Some(gpu) = &mut self.gpu {
            gpu.follow(self.picture)?;
        }
        Ok(())
    }

    /// The next picture, on what is drawn on.
    fn next(&mut self) -> Result {
        self.picture += 1;
        if let Some(gpu) = &mut self.gpu {
            gpu.draw(self.picture);
            line(format_args!("flush {}", self.picture));
            gpu.show()?;
        } else if let Some(early) = &self.early {
            line(format_args!("flush {}", self.picture));
            early.draw(self.picture);
        }
        Ok(())
    }

    /// `count` further pictures, `rate` a second; between them the processor is halted.
    fn frames(&mut self, rate: u64, count: u64) -> Result {
        let vector = cpu::vector();
        let page = Page::boot();
        cpu::interrupts(false);
        apic::write(apic::TIMER_DIVIDE, 0xb);
        apic::write(apic::LVT_TIMER, apic::PERIODIC | u32::from(vector));
        // KVM's APIC timer counts nanoseconds.
        apic::write(apic::TIMER_INITIAL, (1_000_000_000 / rate.max(1)) as u32);
        let (mut seen, mut done) = (page.count(vector), 0);
        while done < count {
            page.halt(vector, seen);
            self.look()?;
            if page.count(vector) != seen {
                seen = page.count(vector);
                self.next()?;
                done += 1;
            }
        }
        apic::write(apic::LVT_TIMER, apic::MASKED);
        line(format_args!("done {done}"));
        Ok(())
    }
}
