use super::*;
use crate::mem::Memory;
use std::fs;
use std::path::PathBuf;

/// Each script in every caching mode.
macro_rules! cases {
    ($($name:ident: $script:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            for cache in [Cache::Auto, Cache::Always, Cache::Never] {
                the_same(Settings { cache, ..RW }, $script);
            }
        })*
    };
}

mod client;
mod kernel;
mod locks;
mod ownership;
mod places;
mod requests;
mod script;
mod semantics;

const RW: Settings = Settings { readonly: false, cache: Cache::Auto, locks: Locking::Guest };
const RO: Settings = Settings { readonly: true, ..RW };

/// A server, with the memory that its requests lie in.
struct Rig {
    server: Server,
    memory: Memory,
    ticket: u64,
}

/// Where replies go, and how much room there is.
const REPLY: u64 = 0x20_0000;
const ROOM: usize = 0x11_0000;

impl Rig {
    fn new(path: &Path, settings: Settings) -> Rig {
        Rig::of(Server::open(path, settings).unwrap())
    }

    fn of(server: Server) -> Rig {
        Server::prepare_thread().unwrap();
        Rig { server, memory: Memory::new(&[(0, 0x40_0000)], None).unwrap(), ticket: 0 }
    }

    /// Serves the bytes of a request, which lie in two pieces; `room` bytes are there for the reply.
    fn serve(&mut self, request: &[u8], room: usize) -> Option<Vec<u8>> {
        let cut = request.len().min(50);
        self.memory.write(0, &request[..cut]).unwrap();
        self.memory.write(0x1000, &request[cut..]).unwrap();
        let readable = [self.memory.slice(0, cut).unwrap(), self.memory.slice(0x1000, request.len() - cut).unwrap()];
        let first = room.min(16);
        let writable = [self.memory.slice(REPLY, first).unwrap(), self.memory.slice(REPLY + 16, room - first).unwrap()];
        self.ticket += 1;
        match self.server.serve(&readable, &writable, self.ticket) {
            Answer::Reply(n) => {
                assert!(n as usize <= room, "{n} bytes in room for {room}");
                let mut reply = vec![0; n as usize];
                self.memory.slice(REPLY, n as usize).unwrap().copy_to(&mut reply);
                Some(reply)
            }
            Answer::Nothing | Answer::Later => None,
        }
    }

    /// Hands the replies to what has waited long enough to `send`.
    fn finish(&mut self, mut send: impl FnMut(&[u8])) {
        let room = [self.memory.slice(0x18_0000, 16).unwrap()];
        for done in self.server.finished() {
            assert_eq!(done.reply(&room), Answer::Reply(16));
            let mut reply = [0; 16];
            room[0].copy_to(&mut reply);
            send(&reply);
        }
    }
}
