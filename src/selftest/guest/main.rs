#![no_std]
#![no_main]
use core::arch::{asm, global_asm};
global_asm!(include_str!("boot.S"), options(att_syntax));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }

fn out(port: u16, v: u8) { unsafe { asm!("out dx, al", in("dx") port, in("al") v) } }
fn print(s: &str) { for b in s.bytes() { out(0x3f8, b) } }
fn hex(v: u64) { for i in (0..16).rev() { let d=(v>>(i*4)&15) as u8; out(0x3f8, if d<10 {b'0'+d} else {b'a'+d-10}) } out(0x3f8, b'\n') }

#[repr(C, packed)] #[derive(Clone, Copy)] struct Gate(u64,u64);
unsafe extern "C" { static mut idt: [Gate;256]; static stubs: u8; static exceptions: u8; static mut boot_page: [u64;512]; static mut pdpt: [u64;512]; }

fn service(n: u32, a: u64, b: u64, c: u64) -> (u64,u64) { let (x,y); unsafe { asm!("ud2", inout("rax") n as u64 => x, in("rdi") a, in("rsi") b, in("rcx") c, inout("rdx") b>>32 => y, out("r8") _, out("r9") _, out("r10") _, out("r11") _) } (x,y) }

#[unsafe(no_mangle)]
extern "C" fn fault_report(v: u64, e: u64, ip: u64, cr2: u64, cs: u64) -> ! { print("fault "); hex(v); hex(e); hex(ip); hex(cr2); hex(cs); loop { out(0xf4, 1); } }

#[repr(align(4096))] struct Pd([u64;512]);
static mut PDS: [Pd;4] = [const { Pd([0;512]) };4];

#[unsafe(no_mangle)]
extern "C" fn main(info: u64, arg: u64) -> ! {
    print("hello\n"); hex(info); hex(arg);
    unsafe {
        for i in 0..256u64 {
            let at = if i < 32 { &raw const exceptions as u64 + i*16 } else { &raw const stubs as u64 + (i-32)*16 };
            idt[i as usize] = Gate(at & 0xffff | 8<<16 | 0x8e00<<32 | (at>>16&0xffff)<<48, at>>32);
        }
        for g in 0..4 { for i in 0..512 { PDS[g].0[i] = (g as u64)<<30 | (i as u64) << 21 | 0x87; } pdpt[g] = &raw const PDS[g] as u64 | 7; }
    }
    print("rdtsc3 "); hex(unsafe { core::arch::x86_64::_rdtsc() });
    let t = service(3,0,0,0); print("rdtsc0 "); hex(t.0 | t.1<<32);
    print("rdtsc3 "); hex(unsafe { core::arch::x86_64::_rdtsc() });
    let t = service(1,0,0,0x1b); print("apicbase "); hex(t.0|t.1<<32);
    let apic = 0xfee00000 as *mut u32;
    unsafe {
        print("apic ver "); hex(apic.add(0x30/4).read_volatile() as u64);
        apic.add(0xf0/4).write_volatile(0x1ff);
        apic.add(0x3e0/4).write_volatile(0xb);
        apic.add(0x320/4).write_volatile(0x40);
        print("sti\n");
        print("a"); service(4,1,0,0); print("b\n");
        let mut f: u64; asm!("pushfq; pop {}", out(reg) f); print("flags "); hex(f);
        apic.add(0x380/4).write_volatile(1000000);
        for _ in 0..100000000u64 { asm!("pause"); if (&raw const boot_page[0x40]).read_volatile() != 0 { break } }
        print("count "); hex((&raw const boot_page[0x40]).read_volatile());
        service(4,1,0,0);
        for _ in 0..100000000u64 { asm!("pause"); if (&raw const boot_page[0x40]).read_volatile() != 0 { break } }
        print("count "); hex((&raw const boot_page[0x40]).read_volatile());
        let c = (&raw const boot_page[0x40]).read_volatile();
        apic.add(0x380/4).write_volatile(10000000);
        let r=service(0, &raw const boot_page[0x40] as u64, c, 0);
        print("after hlt count "); hex((&raw const boot_page[0x40]).read_volatile()); hex(r.0);
        let a = core::arch::x86_64::_rdtsc();
        for _ in 0..1000 { service(3,0,0,0); }
        print("service cycles "); hex((core::arch::x86_64::_rdtsc()-a)/1000);
        let a = core::arch::x86_64::_rdtsc();
        for _ in 0..1000 { apic.add(0x80/4).write_volatile(0); }
        print("apic write cycles "); hex((core::arch::x86_64::_rdtsc()-a)/1000);
        let a = core::arch::x86_64::_rdtsc();
        for _ in 0..1000 { out(0xe9,0); }
        print("out cycles "); hex((core::arch::x86_64::_rdtsc()-a)/1000);
    }
    loop { out(0xf4, 0); }
}
