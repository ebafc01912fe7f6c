//! Requests and answers of a virtio-gpu (virtio 1.2, 5.7.6.7 to 5.7.6.10). What is read here has been copied out of guest
//! memory, and means nothing yet.

use crate::host::screen::{Rect, Size};
use crate::virtio::Chain;

/// Answers (`virtio_gpu_ctrl_type`).
pub const OK_NODATA: u32 = 0x1100;
pub const OK_DISPLAY_INFO: u32 = 0x1101;
pub const OK_EDID: u32 = 0x1104;

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Refused {
    /// It is no request that the device knows, or not now.
    Unspecified = 0x1200,
    OutOfMemory = 0x1201,
    ScanoutId = 0x1202,
    ResourceId = 0x1203,
    Parameter = 0x1205,
}

/// What a request is answered with: its type, and what follows the header.
pub type Answer = Result<(u32, Vec<u8>), Refused>;

/// The answer that says nothing but that it is done.
pub fn done() -> Answer {
    Ok((OK_NODATA, Vec::new()))
}

/// `flags`: the driver wants to know when it has been carried out.
const FLAG_FENCE: u32 = 1;
/// Rows of the answer to GET_DISPLAY_INFO.
const SCANOUTS: usize = 16;
/// Bytes for an EDID in the answer to GET_EDID.
const EDID: usize = 1024;

/// struct virtio_gpu_ctrl_hdr
pub struct Header {
    kind: u32,
    flags: u32,
    fence_id: u64,
    ctx_id: u32,
    ring_idx: u32,
}

/// A request that is as long as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    DisplayInfo,
    Edid {
        scanout: u32,
    },
    Create {
        id: u32,
        format: u32,
        width: u32,
        height: u32,
    },
    Unref {
        id: u32,
    },
    /// `id` 0: the scanout shows nothing.
    SetScanout {
        rect: Rect,
        scanout: u32,
        id: u32,
    },
    Flush {
        rect: Rect,
        id: u32,
    },
    Transfer {
        rect: Rect,
        offset: u64,
        id: u32,
    },
    /// `entries` structs virtio_gpu_mem_entry follow.
    Attach {
        id: u32,
        entries: u32,
    },
    Detach {
        id: u32,
    },
    /// `id` 0: there is no pointer.
    UpdateCursor {
        scanout: u32,
        at: (i32, i32),
        id: u32,
        hot: (u32, u32),
    },
    MoveCursor {
        scanout: u32,
        at: (i32, i32),
    },
}

/// Fields in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> u32 {
        let Some((field, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u32::from_le_bytes(*field)
    }

    fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    fn rect(&mut self) -> Rect {
        Rect { x: self.u32(), y: self.u32(), width: self.u32(), height: self.u32() }
    }
}

impl Header {
    /// Takes it off the front of a request.
    pub fn take(chain: &mut Chain) -> Result<Header, Refused> {
        let bytes = chain.take::<24>().map_err(|_| Refused::Unspecified)?;
        let mut f = Fields(&bytes);
        Ok(Header { kind: f.u32(), flags: f.u32(), fence_id: f.u64(), ctx_id: f.u32(), ring_idx: f.u32() })
    }

    /// The header of an answer of type `kind`. Every request has been carried out when it is answered, so all fences
    /// have passed.
    pub fn answer(&self, kind: u32) -> Vec<u8> {
        let fenced = self.flags & FLAG_FENCE != 0;
        let (flags, fence_id) = if fenced { (FLAG_FENCE, self.fence_id) } else { (0, 0) };
        let (ctx_id, ring_idx) = if fenced { (self.ctx_id, self.ring_idx) } else { (0, 0) };
        [&kind.to_le_bytes()[..], &flags.to_le_bytes(), &fence_id.to_le_bytes(), &ctx_id.to_le_bytes()]
            .into_iter()
            .chain([&ring_idx.to_le_bytes()[..]])
            .collect::<Vec<_>>()
            .concat()
    }
}

impl Request {
    /// Takes what follows `header`.
    pub fn take(header: &Header, chain: &mut Chain) -> Result<Request, Refused> {
        fn fields<const N: usize>(chain: &mut Chain) -> Result<[u8; N], Refused> {
            chain.take::<N>().map_err(|_| Refused::Parameter)
        }
        Ok(match header.kind {
            0x0100 => Request::DisplayInfo,
            0x0101 => {
                let bytes = fields::<16>(chain)?;
                let mut f = Fields(&bytes);
                Request::Create { id: f.u32(), format: f.u32(), width: f.u32(), height: f.u32() }
            }
            0x0102 => Request::Unref { id: Fields(&fields::<8>(chain)?).u32() },
            0x0103 => {
                let bytes = fields::<24>(chain)?;
                let mut f = Fields(&bytes);
                Request::SetScanout { rect: f.rect(), scanout: f.u32(), id: f.u32() }
            }
            0x0104 => {
                let bytes = fields::<24>(chain)?;
                let mut f = Fields(&bytes);
                Request::Flush { rect: f.rect(), id: f.u32() }
            }
            0x0105 => {
                let bytes = fields::<32>(chain)?;
                let mut f = Fields(&bytes);
                Request::Transfer { rect: f.rect(), offset: f.u64(), id: f.u32() }
            }
            0x0106 => {
                let bytes = fields::<8>(chain)?;
                let mut f = Fields(&bytes);
                Request::Attach { id: f.u32(), entries: f.u32() }
            }
            0x0107 => Request::Detach { id: Fields(&fields::<8>(chain)?).u32() },
            0x010a => Request::Edid { scanout: Fields(&fields::<8>(chain)?).u32() },
            0x0300 | 0x0301 => {
                let bytes = fields::<32>(chain)?;
                let mut f = Fields(&bytes);
                // Drivers put the picture's top left corner there, which may be left of the screen.
                let (scanout, at, _padding) = (f.u32(), (f.u32() as i32, f.u32() as i32), f.u32());
                let (id, hot) = (f.u32(), (f.u32(), f.u32()));
                match header.kind {
                    0x0300 => Request::UpdateCursor { scanout, at, id, hot },
                    _ => Request::MoveCursor { scanout, at },
                }
            }
            _ => return Err(Refused::Unspecified),
        })
    }

    /// Whether it is for the cursor queue (5.7.2).
    pub fn is_of_cursor(self) -> bool {
        matches!(self, Request::UpdateCursor { .. } | Request::MoveCursor { .. })
    }
}

/// struct virtio_gpu_mem_entry: guest physical address, and bytes.
pub fn entry(bytes: &[u8; 16]) -> (u64, u32) {
    let mut f = Fields(bytes);
    (f.u64(), f.u32())
}

/// The only scanout is enabled, and this large.
pub fn display_info(size: Size) -> Answer {
    let fields = [0, 0, size.width, size.height, 1, 0];
    let mut body: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    body.resize(24 * SCANOUTS, 0);
    Ok((OK_DISPLAY_INFO, body))
}

pub fn edid(blocks: &[u8]) -> Answer {
    let mut body = [&(blocks.len() as u32).to_le_bytes()[..], &[0; 4], blocks].concat();
    body.resize(8 + EDID, 0);
    Ok((OK_EDID, body))
}
