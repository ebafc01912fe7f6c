//! The other side: one call over a connected socket, by kiln to a kiln.

use super::message::FIELDS;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};

/// The most bytes of a response: a picture of the largest screen fits.
const MOST: u64 = 128 << 20;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Sends one request and reads its response, after which the connection is used up. Waits as long as the stream's own
/// time-outs say.
pub fn call(mut stream: impl Read + Write, method: &str, target: &str, body: &[u8]) -> Result<Reply> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: kiln\r\nConnection: close\r\n");
    if !body.is_empty() {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request).context("send the request")?;
    let mut data = Vec::new();
    stream.take(MOST).read_to_end(&mut data).context("read the response")?;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(end)) = parsed.parse(&data) else {
        bail!("what answers is no HTTP server");
    };
    let status = parsed.code.context("a response without a status")?;
    let length = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|h| std::str::from_utf8(h.value).ok()?.trim().parse::<usize>().ok());
    data.drain(..end);
    if length.is_some_and(|length| length != data.len()) {
        bail!("the response ends too early");
    }
    Ok(Reply { status, body: data })
}
