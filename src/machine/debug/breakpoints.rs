//! Breakpoints and watchpoints: INT3 in guest memory, and the four debug registers that all vCPUs share.

use crate::kvm::debug::{Access, Point, SLOTS, Stops, Trap};
use crate::mem::Memory;

const INT3: u8 = 0xcc;
/// More than anybody sets; a client cannot make kiln remember without end.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub struct Breakpoints {
    patches: Vec<Patch>,
    points: [Option<Held>; SLOTS],
}

/// A software breakpoint in memory.
#[derive(Debug)]
struct Patch {
    /// Linear address.
    at: u64,
    /// Where that was when it was set, in guest physical memory.
    physical: u64,
    original: u8,
}

/// A debug register, and what it was taken for: one request may need several.
#[derive(Debug, Clone, Copy)]
struct Held {
    point: Point,
    request: Request,
}

/// What the debugger asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub at: u64,
    pub len: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A software breakpoint where there can be no INT3: a debug register stands in for it.
    Software,
    Execute,
    Write,
    Read,
    ReadWrite,
}

/// What a trap is to the debugger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    Software,
    Hardware,
    Watch(Request),
}

impl Breakpoints {
    /// Puts an INT3 at `at`, which is at `physical` now. `false`: that is no memory, or there are too many.
    pub fn patch(&mut self, memory: &Memory, at: u64, physical: u64) -> bool {
        if self.is_patched(at) {
            return true;
        }
        let Ok([original]) = memory.read(physical) else { return false };
        // Another address of the same byte: what the guest has there is known to the first.
        let original = self.patches.iter().find(|p| p.physical == physical).map_or(original, |p| p.original);
        let room = self.patches.len() < MOST;
        if !room || memory.write(physical, &[INT3]).is_err() {
            return false;
        }
        self.patches.push(Patch { at, physical, original });
        true
    }

    /// Takes the INT3 away. `false`: there is none.
    pub fn unpatch(&mut self, memory: &Memory, at: u64) -> bool {
        let Some(index) = self.patches.iter().position(|p| p.at == at) else { return false };
        let patch = self.patches.swap_remove(index);
        if self.patches.iter().all(|p| p.physical != patch.physical) {
            restore(memory, &patch);
        }
        true
    }

    pub fn is_patched(&self, at: u64) -> bool {
        self.patches.iter().any(|p| p.at == at)
    }

    /// Takes debug registers for `request`. `false`: not enough are free, or its length makes no sense.
    pub fn take(&mut self, request: Request) -> bool {
        if self.points.iter().flatten().any(|held| held.request == request) {
            return true;
        }
        let Some(pieces) = pieces(&request) else { return false };
        if pieces.len() > self.points.iter().filter(|p| p.is_none()).count() {
            return false;
        }
        let free = self.points.iter_mut().filter(|p| p.is_none());
        free.zip(pieces).for_each(|(slot, point)| *slot = Some(Held { point, request }));
        true
    }

    /// Gives them back. `false`: none was taken for it.
    pub fn give(&mut self, request: Request) -> bool {
        let mut found = false;
        for slot in &mut self.points {
            found |= slot.take_if(|held| held.request == request).is_some();
        }
        found
    }

    /// What a vCPU is to stop for.
    pub fn stops(&self, step: bool) -> Stops {
        Stops { software: !self.patches.is_empty(), step, points: self.points.map(|held| held.map(|h| h.point)) }
    }

    /// `None`: the trap is none of ours.
    pub fn hit(&self, trap: &Trap) -> Option<Hit> {
        if trap.is_breakpoint() {
            return self.is_patched(trap.pc).then_some(Hit::Software);
        }
        let held = trap.slot().and_then(|slot| self.points.get(slot).copied().flatten())?;
        Some(match held.request.kind {
            Kind::Software => Hit::Software,
            Kind::Execute => Hit::Hardware,
            Kind::Write | Kind::Read | Kind::ReadWrite => Hit::Watch(held.request),
        })
    }

    /// Puts what the guest has there into `data`, which was read from `physical` on.
    pub fn hide(&self, physical: u64, data: &mut [u8]) {
        for patch in &self.patches {
            let byte = offset(patch, physical).and_then(|n| data.get_mut(n));
            if let Some(byte) = byte.filter(|b| **b == INT3) {
                *byte = patch.original;
            }
        }
    }

    /// The debugger wrote `data` at `physical`: INT3s stay, and what they stand for is the new one.
    pub fn written(&mut self, memory: &Memory, physical: u64, data: &[u8]) {
        for patch in &mut self.patches {
            if let Some(byte) = offset(patch, physical).and_then(|n| data.get(n)) {
                patch.original = *byte;
                let _ = memory.write(patch.physical, &[INT3]);
            }
        }
    }

    /// The guest's memory is new, as before its first instruction: every INT3 goes to where it was.
    pub fn again(&mut self, memory: &Memory) {
        // All bytes are read before one is written: two patches may share one.
        for patch in &mut self.patches {
            if let Ok([byte]) = memory.read(patch.physical) {
                patch.original = byte;
            }
        }
        self.patches.iter().for_each(|p| drop(memory.write(p.physical, &[INT3])));
    }

    /// All are gone, and memory is as the guest has it.
    pub fn clear(&mut self, memory: &Memory) {
        self.patches.drain(..).for_each(|patch| restore(memory, &patch));
        self.points = [None; SLOTS];
    }
}

/// Unless the guest has put something else there.
fn restore(memory: &Memory, patch: &Patch) {
    if memory.read(patch.physical).is_ok_and(|[byte]| byte == INT3) {
        let _ = memory.write(patch.physical, &[patch.original]);
    }
}

fn offset(patch: &Patch, from: u64) -> Option<usize> {
    usize::try_from(patch.physical.checked_sub(from)?).ok()
}

/// The request in pieces that a debug register can watch: of 1, 2, 4 or 8 bytes, aligned to their length.
fn pieces(request: &Request) -> Option<Vec<Point>> {
    let access = match request.kind {
        Kind::Software | Kind::Execute => return Some(vec![Point { at: request.at, len: 1, access: Access::Execute }]),
        Kind::Write => Access::Write,
        // There is no watching reads alone: the debugger finds out that nothing was written.
        Kind::Read | Kind::ReadWrite => Access::ReadWrite,
    };
    let end = request.at.checked_add(request.len)?;
    let mut pieces = Vec::new();
    let mut at = request.at;
    while at < end {
        let len = [8, 4, 2, 1].into_iter().find(|len| at.is_multiple_of(*len) && *len <= end - at)?;
        pieces.push(Point { at, len, access });
        at += len;
        if pieces.len() > SLOTS {
            return None;
        }
    }
    Some(pieces).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests;
