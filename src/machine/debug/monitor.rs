//! gdb's `monitor` commands: what gdb has no command for.

use super::guest::{Guest, Wish};
use crate::kvm::fault;
use std::fmt::Write;

const HELP: &str = "\
info registers       all registers of all vCPUs
info version         which kiln this is
phys ADDRESS LENGTH  guest physical memory, up to 4096 bytes
reset                the guest starts anew when it goes on
quit                 end the guest and kiln
";

/// The most that `phys` shows, in bytes.
const MOST: usize = 4096;

/// Does what `command` says; the text is for the user.
pub fn carry_out(guest: &mut Guest, command: &str) -> String {
    let words: Vec<_> = command.split_whitespace().collect();
    match words.as_slice() {
        [] | ["help"] => HELP.into(),
        ["info", "registers"] => registers(guest),
        // Linux's own scripts for gdb (scripts/gdb/linux/utils.py) know by this that threads are processors.
        ["info", "version"] => concat!("kiln ", env!("CARGO_PKG_VERSION"), "\n").into(),
        ["phys", at, len] => physical(guest, at, len).unwrap_or_else(|why| format!("{why}\n")),
        ["reset"] => {
            guest.wish = Some(Wish::Reset);
            "the guest starts anew; `maintenance flush register-cache` shows it\n".into()
        }
        ["quit"] => {
            guest.wish = Some(Wish::Quit);
            String::new()
        }
        _ => format!("`{}` is none of these:\n{HELP}", command.escape_default()),
    }
}

fn registers(guest: &Guest) -> String {
    let mut out = String::new();
    for (index, vcpu) in guest.vcpus.iter().enumerate() {
        let _ = writeln!(out, "vcpu{index} {}", fault::state(&vcpu.lock()));
    }
    out
}

fn physical(guest: &Guest, at: &str, len: &str) -> Result<String, String> {
    let start = number(at)?;
    let len = usize::try_from(number(len)?).ok().filter(|len| *len <= MOST);
    let len = len.ok_or_else(|| format!("at most {MOST} bytes"))?;
    let slice = guest.memory.slice(start, len).map_err(|e| format!("{e:#}"))?;
    let mut data = vec![0; len];
    slice.copy_to(&mut data);
    guest.breakpoints.lock().hide(start, &mut data);
    let mut out = String::new();
    for (line, at) in data.chunks(16).zip((start..).step_by(16)) {
        let hex: String = line.iter().map(|b| format!(" {b:02x}")).collect();
        let text: String = line.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '.' }).collect();
        let _ = writeln!(out, "{at:#014x}:{hex:<48}  {text}");
    }
    Ok(out)
}

fn number(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.map_err(|_| format!("`{}` is no number", text.escape_default()))
}

#[cfg(test)]
mod tests;
