//! The keys that are for kiln and not for the guest: those after Ctrl-A, on a terminal.

const CTRL_A: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Quit,
    PowerButton,
    Help,
}

pub const HELP: &str = "\n\
    Ctrl-A x   end the guest\n\
    Ctrl-A p   press the guest's power button\n\
    Ctrl-A a   send Ctrl-A to the guest\n\
    Ctrl-A c   this help (also h and ?)\n";

#[derive(Default)]
pub struct Keys {
    /// The last byte was Ctrl-A.
    after: bool,
}

impl Keys {
    /// Appends to `guest` what is for the guest; calls `command` for the rest, in order.
    /// A key that means nothing after Ctrl-A is dropped with it.
    pub fn sort(&mut self, typed: &[u8], guest: &mut Vec<u8>, mut command: impl FnMut(Command)) {
        for &key in typed {
            if !std::mem::take(&mut self.after) {
                match key {
                    CTRL_A => self.after = true,
                    _ => guest.push(key),
                }
                continue;
            }
            match key {
                b'x' | b'X' => command(Command::Quit),
                b'p' | b'P' => command(Command::PowerButton),
                b'c' | b'C' | b'h' | b'H' | b'?' => command(Command::Help),
                b'a' | b'A' | CTRL_A => guest.push(CTRL_A),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
