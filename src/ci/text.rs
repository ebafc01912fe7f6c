//! Guest output made harmless: it goes to terminals, XML and files that people open.

/// The most characters of a line that are shown in reports.
pub const SHOWN: usize = 500;

/// One line as text: escape sequences of terminals are gone, other control characters are visible (as U+2400..),
/// and so is what would reorder or hide text (as U+FFFD). Tabs stay. Everything in it may stand in XML 1.0.
pub fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = escape_sequence(rest) {
            rest = after;
            continue;
        }
        out.push(visible(c));
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn visible(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        // C1 controls, direction and line breaks of Unicode, non-characters.
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => c,
    }
}

/// What follows the escape sequence that `text` begins with (ECMA-48). One that does not end is none:
/// it would hide what comes after it.
fn escape_sequence(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('\x1b')?;
    if let Some(body) = rest.strip_prefix('[') {
        let end = body.find(|c: char| !('\x20'..='\x3f').contains(&c))?;
        let last = body.get(end..)?.chars().next()?;
        return ('\x40'..='\x7e').contains(&last).then(|| body.get(end + 1..)).flatten();
    }
    if let Some(body) = rest.strip_prefix(']') {
        let end = body.find(|c: char| c < ' ')?;
        let after = body.get(end..)?;
        return after.strip_prefix('\x07').or_else(|| after.strip_prefix("\x1b\\"));
    }
    let body = rest.trim_start_matches(|c: char| ('\x20'..='\x2f').contains(&c));
    let last = body.chars().next()?;
    ('\x30'..='\x7e').contains(&last).then(|| body.get(1..)).flatten()
}

/// For one line of a terminal: at most `most` characters, tabs are spaces.
pub fn short(text: &str, most: usize) -> String {
    let mut out: String = text.chars().map(|c| if c == '\t' { ' ' } else { visible(c) }).take(most).collect();
    if text.chars().nth(most).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests;
