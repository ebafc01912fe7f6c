//! Requests laid by hand.

use super::*;

pub struct Client {
    pub rig: Rig,
    unique: u64,
    pub uid: u32,
}

/// A request's fields, little end first.
#[derive(Default, Clone)]
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn u32(mut self, value: u32) -> Body {
        Reply::u32(&mut self.0, value);
        self
    }

    pub fn u64(mut self, value: u64) -> Body {
        Reply::u64(&mut self.0, value);
        self
    }

    pub fn text(mut self, text: &str) -> Body {
        self.0.extend(text.as_bytes());
        self.0.push(0);
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Body {
        self.0.extend(bytes);
        self
    }
}

pub fn body() -> Body {
    Body::default()
}

pub fn request(opcode: u32, unique: u64, node: u64, uid: u32, body: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    raw.u32((40 + body.len()) as u32);
    raw.u32(opcode);
    raw.u64(unique);
    raw.u64(node);
    raw.u32(uid);
    raw.u32(uid);
    raw.u64(0); // pid, total_extlen
    raw.extend(body);
    raw
}

impl Client {
    /// Has said INIT.
    pub fn new(path: &Path, settings: Settings) -> Client {
        Client::of(Rig::new(path, settings))
    }

    pub fn of(rig: Rig) -> Client {
        let mut client = Client { rig, unique: 0, uid: 0 };
        client.init(39).unwrap();
        client
    }

    pub fn init(&mut self, minor: u32) -> Result<Vec<u8>, i32> {
        let init = body().u32(7).u32(minor).u32(0x2_0000).u32(u32::MAX).u32(u32::MAX).bytes(&[0; 44]);
        self.call(Opcode::Init, 0, init)
    }

    /// The reply without its header, or the error in it.
    pub fn call(&mut self, opcode: Opcode, node: u64, body: Body) -> Result<Vec<u8>, i32> {
        self.unique += 1;
        let raw = request(opcode as u32, self.unique, node, self.uid, &body.0);
        let reply = self.rig.serve(&raw, ROOM).expect("a reply");
        let (len, error, unique) = head_of(&reply);
        assert_eq!((len, unique), (reply.len(), self.unique));
        if error == 0 { Ok(reply[16..].to_vec()) } else { Err(-error) }
    }

    /// For requests that have no reply.
    pub fn tell(&mut self, opcode: Opcode, node: u64, body: Body) {
        let raw = request(opcode as u32, 1, node, self.uid, &body.0);
        assert_eq!(self.rig.serve(&raw, 0), None);
    }

    pub fn lookup(&mut self, parent: u64, name: &str) -> Result<u64, i32> {
        self.call(Opcode::Lookup, parent, body().text(name)).map(|entry| u64_at(&entry, 0))
    }

    pub fn open(&mut self, node: u64, flags: i32) -> Result<u64, i32> {
        self.call(Opcode::Open, node, body().u32(flags as u32).u32(0)).map(|open| u64_at(&open, 0))
    }

    pub fn read(&mut self, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>, i32> {
        self.call(Opcode::Read, 0, body().u64(fh).u64(offset).u32(size).u32(0).u64(0).u64(0))
    }

    pub fn write(&mut self, fh: u64, offset: u64, data: &[u8]) -> Result<Vec<u8>, i32> {
        let size = data.len() as u32;
        let write = body().u64(fh).u64(offset).u32(size).u32(0).u64(0).u64(0).bytes(data);
        self.call(Opcode::Write, 0, write)
    }

    /// Node and handle of a new file.
    pub fn create(&mut self, parent: u64, name: &str) -> Result<(u64, u64), i32> {
        let create = body().u32((libc::O_RDWR | libc::O_CREAT) as u32).u32(0o644).u32(0).u32(0).text(name);
        self.call(Opcode::Create, parent, create).map(|made| (u64_at(&made, 0), u64_at(&made, 128)))
    }

    pub fn release(&mut self, fh: u64) -> Result<Vec<u8>, i32> {
        self.call(Opcode::Release, 0, body().u64(fh).u64(0).u64(0))
    }
}

pub fn u64_at(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*raw[at..].first_chunk().unwrap())
}

pub fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*raw[at..].first_chunk().unwrap())
}

/// `len`, `error`, `unique`
pub fn head_of(reply: &[u8]) -> (usize, i32, u64) {
    (u32_at(reply, 0) as usize, u32_at(reply, 4).cast_signed(), u64_at(reply, 8))
}
