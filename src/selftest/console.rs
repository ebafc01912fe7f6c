//! The other end of the guest's console: answers `send N` with `ping N`, and keeps what it heard.

use super::agreed;
use std::io::{BufRead, BufReader, Read, Write};

/// Bytes that are kept; the guest says far less.
const LIMIT: u64 = 64 << 10;

/// Listens and answers until the stream ends. `wrong`: with a wrong answer.
pub fn converse<S>(stream: &S, wrong: bool) -> Vec<u8>
where
    for<'a> &'a S: Read + Write,
{
    let mut heard = Vec::new();
    let mut lines = BufReader::new(stream.take(LIMIT));
    loop {
        let start = heard.len();
        match lines.read_until(b'\n', &mut heard) {
            Ok(n) if n > 0 => {}
            _ => return heard,
        }
        let line = heard.get(start..).unwrap_or_default();
        if let Some(number) = line.strip_prefix(b"send ") {
            let answer = [if wrong { b"pong " } else { b"ping " }, number].concat();
            let mut to = stream;
            if to.write_all(&answer).is_err() {
                return heard;
            }
        }
    }
}

/// Whether it heard all that the guest says, once.
pub fn check(heard: &[u8]) -> Result<(), String> {
    let expected = expected();
    if heard == expected {
        return Ok(());
    }
    let same = heard.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    Err(format!("{} bytes of {} came, of which the first {same} are right", heard.len(), expected.len()))
}

fn expected() -> Vec<u8> {
    let mut text = agreed::CONSOLE_TEXT.to_vec();
    text.extend((0..agreed::CONSOLE_LONG).map(agreed::console_byte));
    text.push(b'\n');
    (0..agreed::CONSOLE_TURNS).for_each(|n| text.extend(format!("send {n}\n").bytes()));
    text
}

#[cfg(test)]
mod tests;
