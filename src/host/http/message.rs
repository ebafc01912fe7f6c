//! Requests and responses, and their form on the wire.

use std::borrow::Cow;
use std::fmt::Write;

/// The most fields a head has.
pub(super) const FIELDS: usize = 64;

/// A request, complete. Nothing in it has been believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As sent, from the `/` up to the query.
    pub path: String,
    /// What stands behind the `?`, as sent.
    pub query: String,
    pub(super) fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub(super) old: bool,
}

/// Why a request is not taken: the status that says so.
pub(super) type Refusal = u16;

impl Request {
    #[cfg(test)]
    pub fn for_test(method: &str, path: &str, query: &str, fields: &[(&str, &str)]) -> Request {
        let (method, path, query) = (method.to_string(), path.to_string(), query.to_string());
        let fields = fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Request { method, path, query, fields, body: Vec::new(), old: false }
    }

    /// The value of a field that is to be there at most once: `None` also where it is there more often.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether one of a field's values, which are lists with commas, has this word.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).flat_map(|v| v.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
    }

    /// The first value of this name in the query, decoded. `None` also where what comes out is no UTF-8.
    pub fn asked(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.into_iter().find(|(n, _)| *n == name)?;
        decoded(value)
    }

    /// Reads a head that ends with an empty line.
    pub(super) fn parse(head: &[u8]) -> Result<Request, Refusal> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(431),
            _ => return Err(400),
        }
        let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(400);
        };
        if !target.starts_with('/') {
            return Err(400);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_string();
        let request = Request {
            method: method.to_string(),
            path: path.to_string(),
            query: query.to_string(),
            fields: parsed.headers.iter().map(|h| (h.name.to_string(), text(h.value))).collect(),
            body: Vec::new(),
            old: version == 0,
        };
        // RFC 9112, 3.2.
        if !request.old && request.field("host").is_none() {
            return Err(400);
        }
        Ok(request)
    }

    /// Bytes of the body (RFC 9112, 6.3).
    pub(super) fn length(&self, most: usize) -> Result<usize, Refusal> {
        if self.all("transfer-encoding").next().is_some() {
            return Err(501);
        }
        if self.all("content-length").next().is_none() {
            return Ok(0);
        }
        let text = self.field("content-length").ok_or(400_u16)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(400);
        }
        // What no u64 holds is too long.
        text.parse::<u64>().ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= most).ok_or(413)
    }

    /// Whether the connection is for further requests.
    pub(super) fn keeps(&self) -> bool {
        !self.old && !self.lists("connection", "close")
    }
}

/// Undoes percent encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                (digit(bytes.next())? << 4 | digit(bytes.next())?) as u8
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    fields: Vec<(&'static str, String)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// Without a body.
    pub fn new(status: u16) -> Response {
        Response { status, fields: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// One line for people.
    pub fn text(status: u16, text: &str) -> Response {
        Response::new(status).body("text/plain; charset=utf-8", format!("{text}\n").into_bytes())
    }

    pub fn body(self, kind: &str, body: impl Into<Cow<'static, [u8]>>) -> Response {
        Response { body: body.into(), ..self.field("Content-Type", kind) }
    }

    /// A further field. Line ends in `value` become spaces: nothing makes a second field of one.
    pub fn field(mut self, name: &'static str, value: &str) -> Response {
        let value = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.fields.push((name, value));
        self
    }

    /// The head and the body of it; `head` asks for no body, `last` ends the connection.
    pub(super) fn wire(&self, head: bool, last: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.fields {
            // A String takes all.
            let _ = write!(out, "{name}: {value}\r\n");
        }
        // RFC 9110, 8.6: none with 1xx and 204.
        if self.status >= 200 && self.status != 204 {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        if last {
            out.push_str("Connection: close\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if !head {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
