//! What `kiln exec` tells the kernel on its command line, and why. The user's own arguments stand behind and win.
//!
//! Not here, as they would change the kernel under test: `mitigations=off`, `cryptomgr.notests`, `audit=0`, `selinux=0`,
//! `rcupdate.rcu_expedited=1`, `nokaslr`.

/// An argument, and what it is for.
const ARGUMENTS: &[(&str, &str)] = &[
    ("console=ttyS0", "the kernel log"),
    ("earlyprintk=ttyS0", "the same from its first line on: the console of above comes late"),
    ("printk.time=1", "by its time stamps a line of the log is told from a program's"),
    ("rdinit=/init", "whatever other archives and kernel configurations say"),
    ("panic=-1", "a panic ends the guest at once"),
    ("random.trust_cpu=on", "init needs random numbers before anything could have been gathered"),
    ("no_timer_check", "the timer is known to work; without KVM_GUEST the check waits for ten ticks"),
    ("tsc=reliable", "no watchdog compares the clock with others: a busy host would make it look broken"),
    ("8250.nr_uarts=1", "three more serial ports are looked for otherwise"),
    ("i8042.noaux", "nobody has the mouse in hand; the driver takes its time with it"),
    ("i8042.nokbd", "nor the keyboard"),
];

/// With `--boot-report` the kernel says how long each of its initcalls takes; on its console, only if it says all there.
const INITCALLS: &str = "initcall_debug";
const ALL: &str = "loglevel=8";
/// Two exits for every letter of the log are saved where it can be read from memory, in which it is to have room.
const QUIET: [&str; 2] = ["quiet", "log_buf_len=2M"];

/// The arguments, separated by spaces. `initcalls`: the log is to have the times of the initcalls. `quiet`: only errors are
/// said on the console.
pub fn arguments(initcalls: bool, quiet: bool) -> String {
    let mut words: Vec<&str> = ARGUMENTS.iter().map(|(word, _)| *word).collect();
    words.extend(initcalls.then_some(INITCALLS));
    words.extend((initcalls && !quiet).then_some(ALL));
    words.extend(QUIET.into_iter().filter(|_| quiet));
    words.join(" ")
}

#[cfg(test)]
mod tests;
