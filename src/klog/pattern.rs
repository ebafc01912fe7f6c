//! The kernel's words for what went wrong, and which lines belong to a report.

use super::kind::Kind;

/// How a report goes on after its first line, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One line is all.
    Single,
    /// Lines that are plainly a report's ([`belongs`]).
    Short,
    /// Anything up to "Call Trace:", then as `Short`; "end trace" ends it.
    Trace,
    /// As `Trace`; behind "end trace" come the registers again (arch/x86/kernel/dumpstack.c, __show_regs of die).
    Oops,
    /// Up to a line of `=`.
    Frame,
    /// Up to `---[ end Kernel panic`.
    Panic,
}

/// Starts of messages. The first that fits counts.
const STARTS: &[(&str, Kind, Shape)] = &[
    ("Kernel panic - not syncing", Kind::Panic, Shape::Panic),
    ("BUG: KASAN: ", Kind::Kasan, Shape::Frame),
    ("BUG: KMSAN: ", Kind::Kmsan, Shape::Frame),
    ("BUG: KCSAN: ", Kind::Kcsan, Shape::Frame),
    ("BUG: KFENCE: ", Kind::Kfence, Shape::Frame),
    ("UBSAN: ", Kind::Ubsan, Shape::Frame),
    ("BUG: unable to handle ", Kind::Oops, Shape::Oops),
    ("BUG: kernel NULL pointer dereference", Kind::Oops, Shape::Oops),
    ("BUG: stack guard page was hit", Kind::Oops, Shape::Oops),
    ("BUG: TASK stack guard page was hit", Kind::Oops, Shape::Oops),
    ("BUG: IRQ stack guard page was hit", Kind::Oops, Shape::Oops),
    ("Unable to handle kernel ", Kind::Oops, Shape::Oops),
    ("kernel BUG at ", Kind::Oops, Shape::Oops),
    ("Kernel BUG at ", Kind::Oops, Shape::Oops),
    ("PANIC: double fault", Kind::Oops, Shape::Oops),
    ("PANIC: early exception", Kind::Oops, Shape::Oops),
    ("BUG: soft lockup - CPU#", Kind::SoftLockup, Shape::Trace),
    ("Watchdog detected hard LOCKUP on cpu", Kind::HardLockup, Shape::Trace),
    ("BUG: workqueue lockup", Kind::HungTask, Shape::Short),
    ("BUG: sleeping function called from invalid context", Kind::Atomic, Shape::Trace),
    ("BUG: scheduling while atomic", Kind::Atomic, Shape::Trace),
    ("BUG: workqueue leaked ", Kind::Atomic, Shape::Trace),
    ("BUG: spinlock ", Kind::Lockdep, Shape::Trace),
    ("BUG: rwlock ", Kind::Lockdep, Shape::Trace),
    ("DEBUG_LOCKS_WARN_ON(", Kind::Lockdep, Shape::Trace),
    ("INFO: trying to register non-static key", Kind::Lockdep, Shape::Trace),
    ("BUG: MAX_LOCK", Kind::Lockdep, Shape::Trace),
    ("WARNING: lock held when returning to user space", Kind::Lockdep, Shape::Short),
    ("BUG: lock held when returning to user space", Kind::Lockdep, Shape::Short),
    ("refcount_t: ", Kind::Refcount, Shape::Trace),
    ("BUG: Bad rss-counter ", Kind::BadPage, Shape::Single),
    ("BUG: non-zero ", Kind::BadPage, Shape::Single),
    ("BUG: Bad page ", Kind::BadPage, Shape::Trace),
    ("BUG: memory leak", Kind::Kmemleak, Shape::Short),
    ("kmemleak: unreferenced object", Kind::Kmemleak, Shape::Short),
];

/// What lockdep says behind "WARNING: ", "BUG: " or "INFO: " (kernel/locking/lockdep.c).
const LOCKDEP: &[&str] = &[
    "possible circular locking dependency detected",
    "possible recursive locking detected",
    "possible irq lock inversion dependency detected",
    "lock order detected",
    "inconsistent lock state",
    "suspicious RCU usage",
    "bad unlock balance detected",
    "bad contention detected",
    "held lock freed",
    "Nested lock was not taken",
    "Invalid wait context",
    "still has locks held",
];

/// The kind of report that this message begins.
pub fn start(text: &str) -> Option<(Kind, Shape)> {
    let text = bare(text);
    if let Some((_, kind, shape)) = STARTS.iter().find(|(words, ..)| text.starts_with(words)) {
        return Some((*kind, *shape));
    }
    let (word, rest) = text.split_once(": ").unwrap_or((text, ""));
    match word {
        "WARNING" | "BUG" | "INFO" if LOCKDEP.iter().any(|words| rest.contains(words)) => {
            Some((Kind::Lockdep, Shape::Trace))
        }
        "WARNING" if warns(rest) => Some((Kind::Warning, Shape::Trace)),
        "INFO" if rest.starts_with("task ") && rest.contains(" blocked ") && rest.contains(" for more than ") => {
            Some((Kind::HungTask, Shape::Trace))
        }
        "INFO" if rest.starts_with("rcu") && rest.contains(" stall") => Some((Kind::RcuStall, Shape::Trace)),
        "BUG" if rest.starts_with("using ") && rest.contains(" in preemptible ") => Some((Kind::Atomic, Shape::Trace)),
        "BUG" => Some((Kind::Bug, Shape::Short)),
        "kmemleak" if rest.contains(" suspected memory leak") => Some((Kind::Kmemleak, Shape::Single)),
        _ if word.starts_with("CPU") && rest.starts_with("Watchdog detected hard LOCKUP") => {
            Some((Kind::HardLockup, Shape::Trace))
        }
        // mm/slub.c, slab_bug: "BUG kmalloc-64 (Not tainted): Redzone overwritten".
        _ if word.starts_with("BUG ") && (word.ends_with(')') || text.contains("ainted: ")) => {
            Some((Kind::Slab, Shape::Trace))
        }
        _ if text.starts_with("Out of memory") && text.contains(": Kill") => Some((Kind::Oom, Shape::Single)),
        _ if dies(text) => Some((Kind::Oops, Shape::Oops)),
        _ => None,
    }
}

/// `WARNING: CPU: 0 PID: 1 at kernel/foo.c:12 foo+0x1/0x2`, `WARNING: kernel/foo.c:12 at foo+0x1/0x2, CPU#0: sh/1`,
/// `WARNING: at kernel/foo.c:12` (kernel/panic.c, __warn). Others print "WARNING:" too, and mean less.
fn warns(rest: &str) -> bool {
    let place = |word: &str| {
        let digits = word.rsplit_once(':').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        digits && word.contains('.')
    };
    let numbered = rest.starts_with("CPU: ") && rest.contains(" PID: ") && rest.contains(" at ");
    let old = rest.strip_prefix("at ").and_then(|r| r.split(' ').next());
    let new = rest.split_once(" at ").and_then(|(before, _)| before.rsplit(' ').next());
    numbered || old.is_some_and(place) || new.is_some_and(place)
}

/// `Oops: 0002 [#1] PREEMPT SMP`, `general protection fault, ...: 0000 [#1]`: a name, an error code and the number of
/// the oops (arch/x86/kernel/dumpstack.c, __die_header). What a program gets a signal for has no number.
fn dies(text: &str) -> bool {
    let Some((before, after)) = text.split_once(" [#") else { return false };
    let number = after.split_once(']').is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let code = before.rsplit_once(": ").is_some_and(|(_, c)| c.len() >= 4 && c.bytes().all(|b| b.is_ascii_hexdigit()));
    number && (code || before.starts_with("Oops: "))
}

/// Without the subsystem that some put before it, and without the brackets of older lockdep: `[ INFO: ... ]`.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.strip_prefix("[ ").and_then(|t| t.strip_suffix(" ]")).unwrap_or(text);
    let names = ["NMI watchdog: ", "watchdog: ", "rcu: ", "traps: "];
    names.iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text)
}

/// Ahead of reports, with a text only some lines later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// `------------[ cut here ]------------` (include/asm-generic/bug.h, CUT_HERE).
    CutHere,
    /// A line of `=`.
    Rule,
    /// `sh invoked oom-killer: ...`: a control group's limit or the whole machine's.
    OomKiller,
}

pub fn opening(text: &str) -> Option<Opening> {
    if text.contains("[ cut here ]---") {
        return Some(Opening::CutHere);
    }
    if rule(text) {
        return Some(Opening::Rule);
    }
    text.contains(" invoked oom-killer: ").then_some(Opening::OomKiller)
}

/// A line of `=` as lockdep and the sanitizers frame their reports with.
pub fn rule(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 20 && text.bytes().all(|b| b == b'=')
}

pub fn end_trace(text: &str) -> bool {
    text.starts_with("---[ end trace")
}

pub fn end_panic(text: &str) -> bool {
    text.starts_with("---[ end Kernel panic") || text.starts_with("Rebooting in ")
}

pub fn call_trace(text: &str) -> bool {
    matches!(text.trim(), "Call Trace:" | "Call trace:" | "Call Trace: <TASK>" | "Call Trace: <IRQ>")
}

/// What stands at the beginning of lines around and behind a call trace.
const BODY: &[&str] = &[
    "RIP:",
    "Code:",
    "RSP:",
    "RAX:",
    "RDX:",
    "RBP:",
    "R10:",
    "R13:",
    "ORIG_RAX:",
    "EFLAGS:",
    "FS:",
    "CS:",
    "CR2:",
    "DR0:",
    "DR3:",
    "DR6:",
    "PKRU:",
    "GS:",
    "Call Trace:",
    "Call trace:",
    "Modules linked in:",
    "Hardware name:",
    "CPU:",
    "Tainted:",
    "Workqueue:",
    "Kernel Offset:",
    "Showing all locks",
    "NMI backtrace for ",
    "Sending NMI ",
    "sending NMI ",
    "stack backtrace:",
    "rcu:",
    "task:",
    "Task dump for CPU ",
    "irq event stamp:",
    "hardirqs last ",
    "softirqs last ",
    "Preemption disabled at:",
    "[<",
    "INFO: lockdep is turned off.",
    "Sched_ext:",
    "note: ",
    "Disabling lock debugging",
    "workqueue ",
    "pool ",
    "Showing ",
    "unreferenced object",
    "FIX ",
    "---",
    "Lost ",
    "Allocated ",
    "Freed ",
    "Last potentially related",
    "Second to last potentially",
    "Stack:",
];

/// A line of a report by its look, whatever came before it.
pub fn belongs(text: &str) -> bool {
    // "1 lock held by sh/77:", "no locks held by sh/77.", and of late "locks held by sh/77: 2, last CPU#0:".
    let lock = || {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = first == "no" || first.bytes().all(|b| b.is_ascii_digit());
        let words = if number { rest } else { text };
        words.starts_with("lock held by ") || words.starts_with("locks held by ")
    };
    text.is_empty()
        || text.starts_with([' ', '\t'])
        || BODY.iter().any(|words| text.starts_with(words))
        || text.contains("is leaving the kernel with locks still held!")
        || text.ends_with(" Not tainted")
        || text.contains(" Tainted: ")
        || lock()
}

/// Registers and code, as they are shown once more behind an oops.
pub fn registers(text: &str) -> bool {
    let names = [
        "RIP:", "Code:", "RSP:", "RAX:", "RDX:", "RBP:", "R10:", "R13:", "FS:", "CS:", "CR2:", "DR0:", "DR3:", "PKRU:",
    ];
    names.iter().any(|name| text.starts_with(name))
}

/// `func+0x1/0x2 [module]` of `RIP: 0010:func+0x1/0x2 [module]`.
pub fn place(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("RIP: ")?;
    let rest = rest.split_once(':').map_or(rest, |(_, r)| r);
    // Older kernels have addresses before it: `[<ffffffff8134d2ab>] func+0x1/0x2`.
    let rest = rest.rsplit_once(">] ").map_or(rest, |(_, r)| r).trim();
    rest.contains("+0x").then_some(rest)
}

/// The line as a title.
pub fn title(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("[ ").and_then(|t| t.strip_suffix(" ]")).unwrap_or(text)
}

/// For logs without time stamps: the panic behind what a program has left on the line.
pub fn panic_within(text: &str) -> &str {
    match text.find("Kernel panic - not syncing") {
        Some(at) if !text.contains("---[ end ") => text.get(at..).unwrap_or(text),
        _ => text,
    }
}

/// The title without what differs when the same happens again: processor, process, seconds, addresses.
pub fn identity(title: &str) -> String {
    let mut out = String::with_capacity(title.len());
    let mut before = "";
    for word in title.split(' ') {
        let digits = word.trim_end_matches(['s', '!', '.', ',']);
        let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let hex = digits.strip_prefix("0x").unwrap_or(digits);
        let address = hex.len() >= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let varies = number || address || word.starts_with("CPU#") || before.starts_with("CPU#");
        out.push_str(if varies { "N" } else { word });
        out.push(' ');
        before = word;
    }
    out
}
