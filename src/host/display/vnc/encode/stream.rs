//! A zlib stream that lasts as long as a connection; each piece can be unpacked when it has come.

use flate2::{Compress, Compression, FlushCompress};

#[derive(Default)]
pub struct Stream {
    /// Begun when it is first used: it takes a quarter of a MiB.
    zlib: Option<(Compress, u32)>,
}

impl Stream {
    /// Appends `data`, compressed at `level` (0 to 9).
    pub fn put(&mut self, data: &[u8], level: u32, out: &mut Vec<u8>) {
        let level = level.min(9);
        let begin = || (Compress::new(Compression::new(level), true), level);
        let (zlib, now) = self.zlib.get_or_insert_with(begin);
        out.reserve(data.len() / 4 + 64);
        if *now != level {
            // What was put before is flushed already, so the level alone changes.
            let _ = zlib.set_level(Compression::new(level));
            *now = level;
        }
        let start = zlib.total_in();
        loop {
            let done = (zlib.total_in() - start) as usize;
            let rest = data.get(done..).unwrap_or_default();
            // Fails only when nothing was left to do, which the full buffer before could not tell.
            let _ = zlib.compress_vec(rest, out, FlushCompress::Sync);
            let all = (zlib.total_in() - start) as usize == data.len();
            if all && out.len() < out.capacity() {
                return;
            }
            out.reserve(data.len() / 4 + 64);
        }
    }
}
