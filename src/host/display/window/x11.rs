//! The window. One thread, which waits for X, the screen and the end together, and does nothing while they are silent.

use super::super::{Display, Room};
use super::hands;
use crate::host::screen::{Cursor, Rect, Screen, Size, Viewer};
use crate::host::seat::Hands;
use crate::sys::{EventFd, eventfd, fd};
use anyhow::{Context, Result, bail};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::render::{self, ConnectionExt as _, PictType};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{self, ConnectionExt as _, EventMask, ImageFormat, PropMode, Screen as Root};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const STACK: usize = 256 << 10;
/// Of the window while the guest shows nothing.
const NOTHING: Size = Size { width: 1280, height: 800 };
/// Bytes of a request before its pixels (X11, "PutImage").
const IMAGE_HEAD: usize = 64;

/// Open until it is dropped.
pub struct Window {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Window {
    /// On the X server of this name, or the one that DISPLAY says.
    pub fn open(name: Option<&str>, room: &Room) -> Result<Window> {
        let (x, number) = RustConnection::connect(name).map_err(|e| match name {
            None if std::env::var_os("DISPLAY").is_none() => anyhow::anyhow!("DISPLAY is not set: start kiln on a desktop"),
            _ => anyhow::Error::new(e).context("connect to the X server"),
        })?;
        let stop = Arc::new(eventfd().context("make an eventfd")?);
        let view = View::new(x, number, room)?;
        let bell = stop.clone();
        let job = move || match view.live(&bell) {
            Ok(true) => log::warn!("the window was closed; the guest runs on"),
            Ok(false) => {}
            Err(e) => log::error!("the window: {e:#}"),
        };
        let thread = Builder::new().name("window".into()).stack_size(STACK).spawn(job).context("start a thread")?;
        Ok(Window { stop, thread: Some(thread) })
    }
}

impl Display for Window {}

impl Drop for Window {
    fn drop(&mut self) {
        // Only a full counter can fail, and then the bell has been rung.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

x11rb::atom_manager! {
    Atoms: AtomCookies { WM_PROTOCOLS, WM_DELETE_WINDOW, _NET_WM_NAME, UTF8_STRING, }
}

struct View {
    x: RustConnection,
    atoms: Atoms,
    window: xproto::Window,
    context: xproto::Gcontext,
    depth: u8,
    /// For a pointer with colours.
    format: Option<render::Pictformat>,
    screen: Arc<Screen>,
    viewer: Viewer,
    hands: Hands,
    /// Of the window.
    size: Size,
    /// Of the guest's picture, that is in the middle of it.
    picture: Size,
    closed: bool,
}

impl View {
    fn new(x: RustConnection, number: usize, room: &Room) -> Result<View> {
        let atoms = Atoms::new(&x)?.reply()?;
        let root = x.setup().roots.get(number).context("the X server has no such screen")?.clone();
        check(&x, &root)?;
        let picture = room.screen.size();
        let size = if picture.is_empty() { NOTHING } else { picture };
        let (window, context) = (x.generate_id()?, x.generate_id()?);
        let events = EventMask::KEY_PRESS | EventMask::KEY_RELEASE | EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE;
        let events = events | EventMask::POINTER_MOTION | EventMask::STRUCTURE_NOTIFY | EventMask::EXPOSURE;
        let look = xproto::CreateWindowAux::new().event_mask(events | EventMask::FOCUS_CHANGE).background_pixel(0);
        let class = xproto::WindowClass::INPUT_OUTPUT;
        let (width, height) = (size.width as u16, size.height as u16);
        x.create_window(root.root_depth, window, root.root, 0, 0, width, height, 0, class, root.root_visual, &look)?;
        x.create_gc(context, window, &xproto::CreateGCAux::new())?;
        let name = b"kiln";
        x.change_property8(PropMode::REPLACE, window, xproto::AtomEnum::WM_NAME, xproto::AtomEnum::STRING, name)?;
        x.change_property8(PropMode::REPLACE, window, atoms._NET_WM_NAME, atoms.UTF8_STRING, name)?;
        let both = b"kiln\0kiln\0";
        x.change_property8(PropMode::REPLACE, window, xproto::AtomEnum::WM_CLASS, xproto::AtomEnum::STRING, both)?;
        let close = [atoms.WM_DELETE_WINDOW];
        x.change_property32(PropMode::REPLACE, window, atoms.WM_PROTOCOLS, xproto::AtomEnum::ATOM, &close)?;
        held_keys_repeat_without_release(&x)?;
        let format = colours(&x)?;
        x.map_window(window)?;
        x.flush()?;
        let (viewer, hands) = (room.screen.watch()?, Hands::new(&room.seat));
        let depth = root.root_depth;
        let screen = room.screen.clone();
        Ok(View { x, atoms, window, context, depth, format, screen, viewer, hands, size, picture, closed: false })
    }

    /// Until the end, or until people close it: then true.
    fn live(mut self, stop: &EventFd) -> Result<bool> {
        while !self.closed {
            // What came with the answer to something else is there without the socket being readable.
            while let Some(event) = self.x.poll_for_event()? {
                self.event(&event)?;
            }
            self.x.flush()?;
            if self.closed {
                break;
            }
            let [ended, news, _] = fd::wait_readable([fd::of(stop), self.viewer.bell(), self.x.stream().as_fd()])?;
            if ended {
                break;
            }
            if news {
                self.news()?;
            }
        }
        Ok(self.closed)
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::KeyPress(e) => self.hands.send(hands::key(e, true).as_slice()),
            Event::KeyRelease(e) => self.hands.send(hands::key(e, false).as_slice()),
            Event::MotionNotify(e) => self.point(e.event_x, e.event_y),
            Event::ButtonPress(e) | Event::ButtonRelease(e) => {
                self.point(e.event_x, e.event_y);
                let down = matches!(event, Event::ButtonPress(_));
                self.hands.send(hands::button(e, down).as_slice());
            }
            Event::FocusOut(_) => self.hands.release(),
            Event::Expose(_) => self.draw(self.picture.whole())?,
            Event::ConfigureNotify(e) => self.resized(Size { width: e.width.into(), height: e.height.into() })?,
            Event::ClientMessage(e) if e.data.as_data32().first() == Some(&self.atoms.WM_DELETE_WINDOW) => self.closed = true,
            Event::DestroyNotify(_) => self.closed = true,
            Event::Error(e) => log::debug!("the window: {e:?}"),
            _ => {}
        }
        Ok(())
    }

    fn point(&mut self, x: i16, y: i16) {
        self.hands.send(hands::place(x, y, self.origin(), self.picture).as_slice());
    }

    /// People made the window another size; the guest may follow.
    fn resized(&mut self, size: Size) -> Result<()> {
        if size == self.size {
            return Ok(());
        }
        self.size = size;
        if size != self.picture && Size::checked(size.width, size.height).is_some() {
            self.screen.ask(size);
        }
        self.x.clear_area(false, self.window, 0, 0, 0, 0)?;
        self.draw(self.picture.whole())
    }

    fn news(&mut self) -> Result<()> {
        let news = self.viewer.news();
        if let Some(cursor) = news.cursor {
            self.cursor(cursor.as_deref())?;
        }
        if news.resized {
            self.picture = news.size;
            if !news.size.is_empty() && news.size != self.size {
                let aux = xproto::ConfigureWindowAux::new().width(news.size.width).height(news.size.height);
                self.x.configure_window(self.window, &aux)?;
            }
            self.x.clear_area(false, self.window, 0, 0, 0, 0)?;
            return self.draw(self.picture.whole());
        }
        news.damage.iter().try_for_each(|rect| self.draw(*rect))
    }

    /// Where the picture's first pixel is in the window.
    fn origin(&self) -> (i16, i16) {
        let middle = |window: u32, picture: u32| (window.saturating_sub(picture) / 2).min(i16::MAX as u32) as i16;
        (middle(self.size.width, self.picture.width), middle(self.size.height, self.picture.height))
    }

    /// Draws a part of the picture, in pieces that the server takes.
    fn draw(&self, rect: Rect) -> Result<()> {
        let (left, top) = self.origin();
        let room = self.x.maximum_request_bytes().saturating_sub(IMAGE_HEAD);
        let rows = (room / (rect.width as usize * 4).max(1)).clamp(1, 256) as u32;
        let mut pixels = Vec::new();
        let mut y = rect.y;
        while y < rect.y + rect.height {
            let part = Rect { y, height: rows.min(rect.y + rect.height - y), ..rect };
            pixels.clear();
            // If the picture is smaller by now, there will be news.
            if !self.viewer.copy(part, &mut pixels) {
                return Ok(());
            }
            let data: Vec<u8> = pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
            let (x, y_there) = (left.saturating_add(rect.x as i16), top.saturating_add(y as i16));
            let (width, height) = (part.width as u16, part.height as u16);
            let kind = ImageFormat::Z_PIXMAP;
            self.x.put_image(kind, self.window, self.context, width, height, x, y_there, 0, self.depth, &data)?;
            y += part.height;
        }
        Ok(())
    }

    /// The guest's pointer in place of the desktop's; without one the desktop's is there.
    fn cursor(&self, cursor: Option<&Cursor>) -> Result<()> {
        let mut id = x11rb::NONE;
        if let (Some(cursor), Some(format)) = (cursor, self.format)
            && let (Ok(width), Ok(height)) = (u16::try_from(cursor.size.width), u16::try_from(cursor.size.height))
            && cursor.pixels.len() == cursor.size.pixels()
            && !cursor.size.is_empty()
        {
            let data: Vec<u8> = cursor.pixels.iter().flat_map(|p| multiplied(*p).to_le_bytes()).collect();
            let (pixmap, picture, context) = (self.x.generate_id()?, self.x.generate_id()?, self.x.generate_id()?);
            id = self.x.generate_id()?;
            self.x.create_pixmap(32, pixmap, self.window, width, height)?;
            self.x.create_gc(context, pixmap, &xproto::CreateGCAux::new())?;
            self.x.put_image(ImageFormat::Z_PIXMAP, pixmap, context, width, height, 0, 0, 0, 32, &data)?;
            self.x.render_create_picture(picture, pixmap, format, &render::CreatePictureAux::new())?;
            self.x.render_create_cursor(id, picture, cursor.hot.0 as u16, cursor.hot.1 as u16)?;
            self.x.render_free_picture(picture)?;
            self.x.free_gc(context)?;
            self.x.free_pixmap(pixmap)?;
        }
        self.x.change_window_attributes(self.window, &xproto::ChangeWindowAttributesAux::new().cursor(id))?;
        if id != x11rb::NONE {
            // The window keeps it.
            self.x.free_cursor(id)?;
        }
        Ok(())
    }
}

/// Whether pixels there are what ours are: 0x00RRGGBB, the lowest byte first.
fn check(x: &RustConnection, root: &Root) -> Result<()> {
    let visual = root.allowed_depths.iter().flat_map(|d| &d.visuals).find(|v| v.visual_id == root.root_visual);
    let masks = visual.map(|v| (v.red_mask, v.green_mask, v.blue_mask));
    let bits = x.setup().pixmap_formats.iter().find(|f| f.depth == root.root_depth).map(|f| f.bits_per_pixel);
    let order = x.setup().image_byte_order;
    if (masks, bits, order) != (Some((0xff_0000, 0xff00, 0xff)), Some(32), xproto::ImageOrder::LSB_FIRST) {
        bail!("the X server has {} bits a pixel, or an unusual order of them: use --display vnc", root.root_depth);
    }
    Ok(())
}

/// Without this a key that is held is released and pressed again and again (XKB, "Detectable Autorepeat").
fn held_keys_repeat_without_release(x: &RustConnection) -> Result<()> {
    if !x.xkb_use_extension(1, 0)?.reply().is_ok_and(|r| r.supported) {
        return Ok(());
    }
    let wanted = xkb::PerClientFlag::DETECTABLE_AUTO_REPEAT;
    let none = xkb::BoolCtrl::from(0_u32);
    let device = xkb::ID::USE_CORE_KBD.into();
    let _ = x.xkb_per_client_flags(device, wanted, wanted, none, none, none)?.reply();
    Ok(())
}

/// The format of pictures with alpha; `None`: the server has none.
fn colours(x: &RustConnection) -> Result<Option<render::Pictformat>> {
    let Ok(formats) = x.render_query_pict_formats()?.reply() else { return Ok(None) };
    let argb = |f: &&render::Pictforminfo| {
        let d = f.direct;
        let shifts = (d.alpha_shift, d.red_shift, d.green_shift, d.blue_shift);
        f.type_ == PictType::DIRECT && f.depth == 32 && shifts == (24, 16, 8, 0) && d.alpha_mask == 0xff
    };
    Ok(formats.formats.iter().find(argb).map(|f| f.id))
}

/// With its colours multiplied by alpha, as RENDER wants them.
fn multiplied(pixel: u32) -> u32 {
    let alpha = pixel >> 24;
    let part = |shift: u32| (((pixel >> shift) & 0xff) * alpha / 255) << shift;
    alpha << 24 | part(16) | part(8) | part(0)
}
