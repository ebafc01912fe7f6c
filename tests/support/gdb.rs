//! A debugger that speaks gdb's remote protocol just well enough to test the other side.
#![allow(dead_code)]

use crate::support::kiln;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

/// `kiln run GUEST --gdb=...`, and where it listens.
pub struct Debuggee {
    pub child: Child,
    pub stderr: BufReader<ChildStderr>,
    /// What follows `target remote `.
    pub place: String,
}

impl Debuggee {
    pub fn start(guest: &Path, gdb: &str, args: &[&str]) -> Debuggee {
        let mut command = kiln();
        command.arg("run").arg(guest).args(["--memory", "16M", &format!("--gdb={gdb}")]).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("target remote ") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "kiln ended before it listened");
        }
        let place = line.rsplit("target remote ").next().unwrap().trim().to_string();
        Debuggee { child, stderr, place }
    }

    pub fn connect(&self) -> Box<dyn Socket> {
        match self.place.strip_prefix(':') {
            Some(port) => Box::new(TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap()),
            None => Box::new(UnixStream::connect(&self.place).unwrap()),
        }
    }

    pub fn attach(&self) -> Client {
        let mut client = Client { socket: self.connect(), console: String::new() };
        client.socket.write_all(b"+").unwrap();
        assert!(client.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+").contains("PacketSize="));
        assert_eq!(client.ask("QStartNoAckMode"), "OK");
        client.socket.write_all(b"+").unwrap();
        client
    }

    /// Exit status, what is left of standard error, and standard output.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let (mut err, mut out) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err, out)
    }
}

/// A test that fails leaves no guest behind.
impl Drop for Debuggee {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

pub struct Client {
    pub socket: Box<dyn Socket>,
    /// What the other side showed.
    pub console: String,
}

impl Client {
    pub fn send(&mut self, body: &str) {
        let sum = body.bytes().fold(0u8, u8::wrapping_add);
        write!(self.socket, "${body}#{sum:02x}").unwrap();
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.socket.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next packet that is not for the console; run lengths are written out.
    pub fn reply(&mut self) -> String {
        loop {
            while self.byte() != b'$' {}
            let mut body = String::new();
            loop {
                match self.byte() {
                    b'#' => break,
                    b'*' => {
                        let (last, n) = (body.chars().last().unwrap(), self.byte() - 29);
                        body.extend(std::iter::repeat_n(last, n.into()));
                    }
                    byte => body.push(byte.into()),
                }
            }
            self.byte();
            self.byte();
            match body.strip_prefix('O').filter(|rest| *rest != "K") {
                Some(text) => self.console += &String::from_utf8_lossy(&unhex(text)),
                None => return body,
            }
        }
    }

    pub fn ask(&mut self, body: &str) -> String {
        self.send(body);
        self.reply()
    }

    /// `monitor TEXT`: what it shows.
    pub fn monitor(&mut self, text: &str) -> String {
        let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
        self.console.clear();
        assert_eq!(self.ask(&format!("qRcmd,{hex}")), "OK");
        std::mem::take(&mut self.console)
    }

    pub fn interrupt(&mut self) -> String {
        self.socket.write_all(&[3]).unwrap();
        self.reply()
    }

    /// Register `number` (of the general ones) of `thread`.
    pub fn register(&mut self, thread: usize, number: usize) -> u64 {
        assert_eq!(self.ask(&format!("Hgp1.{thread}")), "OK");
        let all = self.ask("g");
        u64::from_le_bytes(unhex(&all[number * 16..number * 16 + 16]).try_into().unwrap())
    }

    pub fn rip(&mut self, thread: usize) -> u64 {
        self.register(thread, 16)
    }

    pub fn memory(&mut self, at: u64, len: usize) -> Vec<u8> {
        unhex(&self.ask(&format!("m{at:x},{len:x}")))
    }
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map_while(digit).collect()
}
