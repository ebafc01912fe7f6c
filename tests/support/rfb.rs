//! A small VNC client (RFC 6143, and the extensions that the community's specification lists), which remembers the picture and counts what
//! came: for the tests of displays and for tests/bench/screen. It trusts its server.
#![allow(dead_code)]

#[path = "rfb/decode.rs"]
mod decode;

use decode::Streams;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub const RAW: i32 = 0;
pub const COPY_RECT: i32 = 1;
pub const TIGHT: i32 = 7;
pub const ZRLE: i32 = 16;
pub const DESKTOP_SIZE: i32 = -223;
pub const LAST_RECT: i32 = -224;
pub const CURSOR: i32 = -239;
pub const EXTENDED_KEY: i32 = -258;
pub const EXTENDED_DESKTOP_SIZE: i32 = -308;

/// What carries it.
pub trait Wire: Read + Write + Send {
    fn set_patience(&self, time: Duration) -> io::Result<()>;
    fn set_write_patience(&self, time: Duration) -> io::Result<()>;
    fn twin(&self) -> io::Result<Box<dyn Wire>>;
}

impl Wire for TcpStream {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.set_nodelay(true)?;
        self.set_read_timeout(Some(time))
    }
    fn set_write_patience(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
    fn twin(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.try_clone()?))
    }
}

impl Wire for UnixStream {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
    fn set_write_patience(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
    fn twin(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.try_clone()?))
    }
}

/// Counts what is read.
struct Counted(Box<dyn Wire>, u64);

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(to)?;
        self.1 += n as u64;
        Ok(n)
    }
}

pub struct Client {
    input: BufReader<Counted>,
    output: Box<dyn Wire>,
    streams: Streams,
    pub width: u32,
    pub height: u32,
    /// 0x00RRGGBB, rows from the top.
    pub pixels: Vec<u32>,
    pub cursor: Option<Pointer>,
    /// An ExtendedDesktopSize has told of the size.
    pub told: bool,
    /// What was said to our wishes for a size: 0 done, 4 passed on, else why not.
    pub answers: Vec<u16>,
    /// What was cut last, in Latin-1.
    pub text: Option<Vec<u8>>,
    /// FramebufferUpdates, and rectangles with pixels in them.
    pub updates: u64,
    pub rects: u64,
}

/// The pointer's picture.
pub struct Pointer {
    pub width: u32,
    pub height: u32,
    pub hot: (u32, u32),
    /// 0xAARRGGBB
    pub pixels: Vec<u32>,
}

pub fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn read<const N: usize>(from: &mut (impl Read + ?Sized)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The handshake's beginning: the versions, and the security types that are offered.
pub fn greet(wire: &mut (impl Read + Write + ?Sized)) -> io::Result<Vec<u8>> {
    if &read::<12>(wire)? != b"RFB 003.008\n" {
        return Err(broken("another protocol"));
    }
    wire.write_all(b"RFB 003.008\n")?;
    let [n] = read(wire)?;
    let mut types = vec![0; n.into()];
    wire.read_exact(&mut types)?;
    Ok(types)
}

impl Client {
    /// Connects without security; `encodings` in the order of preference.
    pub fn open(mut wire: Box<dyn Wire>, encodings: &[i32]) -> io::Result<Client> {
        wire.set_patience(Duration::from_secs(60))?;
        if !greet(&mut *wire)?.contains(&1) {
            return Err(broken("a password is wanted"));
        }
        wire.write_all(&[1])?;
        Client::enter(wire, encodings)
    }

    /// Goes on where all that is asked of who comes has been answered.
    pub fn enter(mut wire: Box<dyn Wire>, encodings: &[i32]) -> io::Result<Client> {
        if read::<4>(&mut wire)? != [0; 4] {
            return Err(broken("refused"));
        }
        // Shared.
        wire.write_all(&[1])?;
        let head = read::<24>(&mut wire)?;
        let name = u32::from_be_bytes([head[20], head[21], head[22], head[23]]);
        io::copy(&mut (&mut wire).take(name.into()), &mut io::sink())?;
        let mut client = Client {
            output: wire.twin()?,
            input: BufReader::with_capacity(1 << 18, Counted(wire, 0)),
            streams: Streams::default(),
            width: 0,
            height: 0,
            pixels: Vec::new(),
            cursor: None,
            told: false,
            answers: Vec::new(),
            text: None,
            updates: 0,
            rects: 0,
        };
        client.set_size(u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        // 32 bits, depth 24, little-endian, true colour: 0x00RRGGBB.
        client.output.write_all(&[0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0])?;
        let mut message = vec![2, 0, 0, encodings.len() as u8];
        encodings.iter().for_each(|e| message.extend(e.to_be_bytes()));
        client.output.write_all(&message)?;
        Ok(client)
    }

    /// Bytes that have come since the handshake.
    pub fn bytes(&self) -> u64 {
        self.input.get_ref().1 - self.input.buffer().len() as u64
    }

    pub fn wire(&mut self) -> &mut dyn Wire {
        &mut *self.output
    }

    fn set_size(&mut self, width: u16, height: u16) {
        (self.width, self.height) = (width.into(), height.into());
        self.pixels = vec![0; self.width as usize * self.height as usize];
    }

    pub fn ask(&mut self, incremental: bool) -> io::Result<()> {
        let [w, h] = [self.width, self.height].map(|n| (n as u16).to_be_bytes());
        self.output.write_all(&[3, incremental.into(), 0, 0, 0, 0, w[0], w[1], h[0], h[1]])
    }

    /// A key by its keysym.
    pub fn key(&mut self, keysym: u32, down: bool) -> io::Result<()> {
        let k = keysym.to_be_bytes();
        self.output.write_all(&[4, down.into(), 0, 0, k[0], k[1], k[2], k[3]])
    }

    /// A key by its keysym and its XT scan code.
    pub fn extended_key(&mut self, keysym: u32, code: u32, down: bool) -> io::Result<()> {
        let mut message = vec![255, 0, 0, down.into()];
        message.extend(keysym.to_be_bytes());
        message.extend(code.to_be_bytes());
        self.output.write_all(&message)
    }

    pub fn pointer(&mut self, buttons: u8, x: u16, y: u16) -> io::Result<()> {
        let ([a, b], [c, d]) = (x.to_be_bytes(), y.to_be_bytes());
        self.output.write_all(&[5, buttons, a, b, c, d])
    }

    /// Text for the clipboard, in Latin-1.
    pub fn cut(&mut self, text: &[u8]) -> io::Result<()> {
        let len = (text.len() as u32).to_be_bytes();
        self.output.write_all(&[&[6, 0, 0, 0][..], &len, text].concat())
    }

    /// Wishes for another size.
    pub fn resize(&mut self, width: u16, height: u16) -> io::Result<()> {
        let ([a, b], [c, d]) = (width.to_be_bytes(), height.to_be_bytes());
        let mut message = vec![251, 0, a, b, c, d, 1, 0];
        message.extend([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]);
        self.output.write_all(&message)
    }

    /// The next message is read; true if it was a FramebufferUpdate.
    pub fn next(&mut self) -> io::Result<bool> {
        match read::<1>(&mut self.input)? {
            [0] => self.update().map(|()| true),
            [2] => Ok(false),
            [3] => {
                let head = read::<7>(&mut self.input)?;
                let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
                let mut text = vec![0; len as usize];
                self.input.read_exact(&mut text)?;
                self.text = Some(text);
                Ok(false)
            }
            [other] => Err(broken(&format!("message {other}"))),
        }
    }

    /// Asks, and reads, until the picture satisfies `wanted`.
    pub fn until(&mut self, mut wanted: impl FnMut(&Client) -> bool) -> io::Result<()> {
        self.ask(false)?;
        while !wanted(self) {
            if self.next()? {
                self.ask(true)?;
            }
        }
        Ok(())
    }

    fn update(&mut self) -> io::Result<()> {
        let [_, a, b] = read(&mut self.input)?;
        for _ in 0..u16::from_be_bytes([a, b]) {
            let head = read::<12>(&mut self.input)?;
            let field = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
            let (x, y, width, height) = (field(0), field(2), field(4), field(6));
            match i32::from_be_bytes([head[8], head[9], head[10], head[11]]) {
                LAST_RECT => break,
                DESKTOP_SIZE => self.set_size(width, height),
                EXTENDED_DESKTOP_SIZE => {
                    let [screens, ..] = read::<4>(&mut self.input)?;
                    io::copy(&mut (&mut self.input).take(u64::from(screens) * 16), &mut io::sink())?;
                    self.told = true;
                    if x == 1 {
                        self.answers.push(y);
                    }
                    if y == 0 && (self.width, self.height) != (width.into(), height.into()) {
                        self.set_size(width, height);
                    }
                }
                CURSOR => self.pointer_picture((x, y), width.into(), height.into())?,
                EXTENDED_KEY => {}
                encoding => {
                    let rect = decode::Rect { x: x.into(), y: y.into(), width: width.into(), height: height.into() };
                    if rect.x + rect.width > self.width as usize || rect.y + rect.height > self.height as usize {
                        return Err(broken("a rectangle outside the picture"));
                    }
                    let mut canvas = decode::Canvas { pixels: &mut self.pixels, stride: self.width as usize };
                    self.streams.rect(encoding, &mut self.input, &mut canvas, rect)?;
                    self.rects += 1;
                }
            }
        }
        self.updates += 1;
        Ok(())
    }

    fn pointer_picture(&mut self, hot: (u16, u16), width: u32, height: u32) -> io::Result<()> {
        let mut pixels = vec![0; (width * height * 4) as usize];
        self.input.read_exact(&mut pixels)?;
        let row = width.div_ceil(8);
        let mut mask = vec![0; (row * height) as usize];
        self.input.read_exact(&mut mask)?;
        let pixel = |n: u32| {
            let (x, y) = (n % width, n / width);
            let there = mask[(y * row + x / 8) as usize] >> (7 - x % 8) & 1 == 1;
            let at = n as usize * 4;
            let colour = u32::from_le_bytes([pixels[at], pixels[at + 1], pixels[at + 2], 0]);
            if there { 0xff00_0000 | colour } else { 0 }
        };
        let hot = (hot.0.into(), hot.1.into());
        self.cursor = Some(Pointer { width, height, hot, pixels: (0..width * height).map(pixel).collect() });
        Ok(())
    }
}
