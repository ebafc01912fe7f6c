//! The order of versions (UAPI Group specification 10, Version Format): 6.10 is newer than 6.9, 6.1~rc1 older than 6.1.

use std::cmp::Ordering;

pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        (a, b) = (skip(a), skip(b));
        let tilde = |s: &str| s.starts_with('~');
        match (tilde(a), tilde(b)) {
            (true, true) => {
                (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
                continue;
            }
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        if a.is_empty() || b.is_empty() {
            return b.is_empty().cmp(&a.is_empty());
        }
        for mark in ['-', '^', '.'] {
            match (a.starts_with(mark), b.starts_with(mark)) {
                (true, true) => {
                    (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
                    break;
                }
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                _ => {}
            }
        }
        let digit = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
        let order = if digit(a) || digit(b) {
            let (x, y) = (take(&mut a, |c| c.is_ascii_digit()), take(&mut b, |c| c.is_ascii_digit()));
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            take(&mut a, |c| c.is_ascii_alphabetic()).cmp(take(&mut b, |c| c.is_ascii_alphabetic()))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Without what does not count.
fn skip(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '~' | '-' | '^' | '.'))
}

fn take<'a>(text: &mut &'a str, is: impl Fn(char) -> bool) -> &'a str {
    let (taken, rest) = text.split_at(text.find(|c| !is(c)).unwrap_or(text.len()));
    *text = rest;
    taken
}
