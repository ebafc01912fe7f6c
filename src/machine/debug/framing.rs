//! What is let through to the protocol's parser: packets of a sane size that ask for sane amounts.
//!
//! The parser (gdbstub) believes lengths: a read of 2^64 bytes would keep it busy for ever. And a browser can be made to
//! send a form to any port of its own machine: what does not begin like a debugger is hung up on.

/// Bytes of a packet that the parser has room for.
pub const LONGEST: usize = 0x4000;
/// The most that one packet may ask for, in bytes; gdb asks for as much as an answer of [`LONGEST`] holds.
const MOST: u64 = LONGEST as u64;

#[derive(Debug, Default)]
pub struct Framing {
    body: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Body,
    /// This many bytes are to come.
    Checksum(u8),
}

impl Framing {
    /// Looks at the next byte before the parser does. The error says why the client is to be hung up on.
    pub fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        self.state = match (self.state, byte) {
            (State::Between, b'+' | 0x03) => State::Between,
            (State::Between, b'$') => {
                self.body.clear();
                State::Body
            }
            (State::Between, _) => return Err("it does not speak gdb's protocol"),
            (State::Body, b'#') => {
                self.check()?;
                State::Checksum(2)
            }
            (State::Body, _) => {
                self.body.push(byte);
                // With `$`, `#` and the checksum.
                if self.body.len() > LONGEST - 4 {
                    return Err("its packet is too long");
                }
                State::Body
            }
            (State::Checksum(2), _) => State::Checksum(1),
            (State::Checksum(_), _) => State::Between,
        };
        Ok(())
    }

    /// What is in the last packet.
    pub fn packet(&self) -> &[u8] {
        &self.body
    }

    /// `m ADDRESS,LENGTH`.
    fn check(&self) -> Result<(), &'static str> {
        let Some(rest) = self.body.strip_prefix(b"m") else { return Ok(()) };
        let text = std::str::from_utf8(rest).map_err(|_| "its packet is no text")?;
        let mut numbers = text.split(',').map(|n| u64::from_str_radix(n, 16));
        let (Some(Ok(at)), Some(Ok(len)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
            return Err("its packet has no address and length");
        };
        if len > MOST || at.checked_add(len).is_none() {
            return Err("it asks for too much memory");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
