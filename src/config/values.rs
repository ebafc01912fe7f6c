//! The types that option values have.

use std::fmt;
use std::str::FromStr;

/// A number of bytes: `512M`, `4G`, `65536`, `64K` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let want = || "want a size such as 512M or 4G".to_string();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KIB" | "KB" => 10,
            "M" | "MIB" | "MB" => 20,
            "G" | "GIB" | "GB" => 30,
            "T" | "TIB" | "TB" => 40,
            _ => return Err(want()),
        };
        let n: u64 = digits.parse().map_err(|_| want())?;
        n.checked_mul(1 << shift).map(Size).ok_or_else(|| "too large".to_string())
    }
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;
    fn from_str(text: &str) -> Result<Switch, String> {
        match text {
            "on" | "yes" | "true" => Ok(Switch(true)),
            "off" | "no" | "false" => Ok(Switch(false)),
            _ => Err("want on or off".to_string()),
        }
    }
}

/// An Ethernet address, `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Mac, String> {
        let want = || "want six bytes such as 52:54:00:12:34:56".to_string();
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for b in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(want)?;
            *b = u8::from_str_radix(part, 16).map_err(|_| want())?;
        }
        if parts.next().is_some() {
            return Err(want());
        }
        if bytes[0] & 1 != 0 {
            return Err("is a multicast address".to_string());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A value that may be left out: the empty string is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T: FromStr> FromStr for Maybe<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Maybe<T>, T::Err> {
        if text.is_empty() { Ok(Maybe(None)) } else { text.parse().map(|v| Maybe(Some(v))) }
    }
}

/// A length of time: `30s`, `5m`, `1h`, `500ms`; a bare number is seconds. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub std::time::Duration);

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Period, String> {
        let want = || "want a time such as 30s, 5m or 500ms".to_string();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let ms = match text.get(digits.len()..).unwrap_or_default() {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(want()),
        };
        let n: u64 = digits.parse().map_err(|_| want())?;
        let n = n.checked_mul(ms).filter(|n| *n > 0).ok_or_else(want)?;
        Ok(Period(std::time::Duration::from_millis(n)))
    }
}

#[cfg(test)]
mod tests;
