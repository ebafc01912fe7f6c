//! What the board says of itself: ACPI, the PM timer, the clock.

use crate::port::{in8, out8};
use crate::{Context, Result, acpi, ensure, time};

pub fn tables(context: &mut Context) -> Result {
    let tables = acpi::tables(context.rsdp)?;
    for name in ["FACP", "APIC", "DSDT"] {
        acpi::find(&tables, name)?;
    }
    let interrupts = acpi::interrupts(&tables)?;
    ensure!(interrupts.local == 0xfee0_0000, "MADT has the local APICs at {:#x}", interrupts.local);
    ensure!(interrupts.ioapics == [(0xfec0_0000, 0)], "MADT has IOAPICs {:x?}", interrupts.ioapics);
    let pins = crate::apic::pins();
    ensure!(pins == 24, "the IOAPIC has {pins} pins");
    if let Some(cpus) = context.number("cpus") {
        let n = interrupts.processors.len() as u64;
        ensure!(n == cpus, "MADT lists {n} processors of {cpus}");
    }
    Ok(())
}

/// It counts up, and about as fast as it says: 3.579545 MHz (ACPI 6.5, 4.8.3.3).
pub fn pm_timer(context: &mut Context) -> Result {
    let port = acpi::pm_timer(&acpi::tables(context.rsdp)?)?;
    let mut last = acpi::read_pm_timer(port);
    let (mut ticks, start) = (0, time::now());
    let mut more = true;
    while more {
        // Looked at before the timer is read: the last look is followed by a reading too.
        more = time::now() - start < time::ticks_of_micros(20_000);
        let now = acpi::read_pm_timer(port);
        let step = now.wrapping_sub(last) & 0xff_ffff;
        ensure!(step < 1 << 23, "it goes back from {last:#x} to {now:#x}");
        ticks += step;
        last = now;
    }
    ensure!(ticks >= 20 * 3579 * 9 / 10, "{ticks} ticks in at least 20 ms");
    Ok(())
}

fn cmos(register: u8) -> u8 {
    out8(0x70, register);
    in8(0x71)
}

/// Seconds to weekday aside: year with century, month, day, hour, minute, second (MC146818).
fn clock() -> Result<[u64; 6]> {
    const REGISTERS: [u8; 6] = [9, 8, 7, 4, 2, 0];
    ensure!(time::spin(|| cmos(0xa) & 0x80 == 0), "an update does not end");
    let status = cmos(0xb);
    ensure!(status & 2 != 0, "the clock counts to 12 hours");
    let decode = |v: u8| u64::from(if status & 4 != 0 { v } else { (v >> 4) * 10 + (v & 15) });
    let mut fields = REGISTERS.map(|r| decode(cmos(r)));
    fields[0] += 100 * decode(cmos(0x32));
    Ok(fields)
}

/// The clock is that of the host (`now=`, seconds since 1970), give or take the time a loaded host may need.
pub fn date(context: &mut Context) -> Result {
    let mut fields = clock()?;
    for _ in 0..100 {
        let again = clock()?;
        if again == fields {
            break;
        }
        fields = again;
    }
    let [year, month, day, hour, minute, second] = fields;
    let sane = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    ensure!(sane && year >= 2020, "{year}-{month}-{day} {hour}:{minute}:{second}");
    let Some(now) = context.number("now") else { return Ok(()) };
    let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    ensure!(seconds.abs_diff(now) < 600, "{seconds} seconds since 1970, while the host has {now}");
    Ok(())
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: u64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    years + lengths.iter().take(month as usize - 1).sum::<u64>() + day - 1
}
