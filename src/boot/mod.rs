//! Kernel formats: from a file to bytes in guest memory and a point of entry. A file is known by its content, never by
//! its name; and firmware images. What the kernel is told (zero page, start info) and the registers it starts with are the architecture's.

pub mod bytes;
pub mod bzimage;
mod elf;
pub mod firmware;
mod foreign;
pub mod initrd;
mod multiboot;
mod note;
mod program;
mod release;
#[cfg(test)]
pub mod sample;
mod source;
mod unpack;

pub use firmware::Firmware;
pub use initrd::Module;
pub use release::{is_release, skip_past};
pub use unpack::{Contents, contents};

use crate::mem::Memory;
use crate::sys::return_large_buffers;
use anyhow::{Context, Result, bail, ensure};
use bzimage::Setup;
use program::Program;
use source::{Section, Source, Stream};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use unpack::Method;

/// Everything a file is known by lies in its first bytes: multiboot looks the furthest.
const HEAD: usize = multiboot::SEARCH;

/// A kernel file, opened and recognised.
pub struct Image {
    path: PathBuf,
    file: File,
    len: u64,
    form: Form,
}

enum Form {
    /// With the packed kernel inside, where it can be unpacked here.
    Bzimage(Box<Setup>, Option<(Method, Range<u64>)>),
    /// An ELF file, or whatever a multiboot header describes.
    Plain(Program),
    /// One of those, packed as a whole.
    Packed(Method),
}

/// How a kernel is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Linux64,
    Linux32,
    Pvh,
    Multiboot,
}

/// A kernel in guest memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Physical address.
    pub entry: u64,
    pub protocol: Protocol,
    /// What the kernel occupies, in any order.
    pub ranges: Vec<Range<u64>>,
}

impl Image {
    /// Opens and recognises a kernel; reads no more than its headers.
    pub fn open(path: &Path) -> Result<Image> {
        let (file, len) = open(path).with_context(|| format!("kernel {}", path.display()))?;
        Image::new(path, file, len)
    }

    /// The same of a file that is open; messages call it `name`.
    pub fn of(name: &Path, file: &File) -> Result<Image> {
        let open = || -> std::io::Result<_> { Ok((file.try_clone()?, file.metadata()?.len())) };
        let (file, len) = open().with_context(|| format!("kernel {}", name.display()))?;
        Image::new(name, file, len)
    }

    fn new(path: &Path, file: File, len: u64) -> Result<Image> {
        let form = recognise(&file, len).with_context(|| format!("kernel {}", path.display()))?;
        Ok(Image { path: path.to_path_buf(), file, len, form })
    }

    /// Whether nothing but a multiboot header says that it is a kernel. Boot loaders on disks have one, too.
    pub fn is_raw_multiboot(&self) -> bool {
        matches!(&self.form, Form::Plain(program) if program.class == program::Class::Raw)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A bzImage's setup header.
    pub fn setup(&self) -> Option<&Setup> {
        match &self.form {
            Form::Bzimage(setup, _) => Some(setup),
            _ => None,
        }
    }

    /// What the file is, for people.
    pub fn format(&self) -> String {
        match &self.form {
            Form::Bzimage(_, Some((method, _))) => format!("bzImage, {method}"),
            Form::Bzimage(_, None) => "bzImage".to_string(),
            Form::Plain(program) if program.class == program::Class::Raw => "multiboot image".to_string(),
            Form::Plain(_) => "ELF".to_string(),
            Form::Packed(method) => format!("ELF, packed with {method}"),
        }
    }

    /// Puts the kernel into guest memory, which must read as zero (it is new, or was cleared): then nobody needs to
    /// touch the kernel's bss. Nothing is put into the ranges of `taken`.
    /// `decompressor`: a bzImage is not unpacked here but enters at its own decompressor.
    pub fn load(&self, memory: &Memory, taken: &[Range<u64>], decompressor: bool) -> Result<Placed> {
        return_large_buffers(); // unpacking takes up to 200 MiB for a moment
        self.place(memory, taken, decompressor).with_context(|| format!("kernel {}", self.path.display()))
    }

    fn place(&self, memory: &Memory, taken: &[Range<u64>], decompressor: bool) -> Result<Placed> {
        match &self.form {
            Form::Bzimage(_, Some(payload)) if !decompressor => {
                Setup::unpack(&self.file, payload.clone(), memory, taken)
            }
            Form::Bzimage(setup, _) => setup.load(&self.file, memory, taken),
            Form::Plain(program) => {
                let mut source = Source::File { file: &self.file, len: self.len };
                let ranges = program.load(&mut source, memory, taken)?;
                program.place(ranges, memory, &source, false)
            }
            Form::Packed(method) => {
                self.unpack(*method, memory, taken).with_context(|| format!("unpack it ({method})"))
            }
        }
    }

    fn unpack(&self, method: Method, memory: &Memory, taken: &[Range<u64>]) -> Result<Placed> {
        let reader = method.unpack(Section { file: &self.file, at: 0, end: self.len })?;
        let (stream, head) = Stream::new(reader, None, HEAD)?;
        let program = plain(&head, None, |_, _| bail!("its ELF program headers are far from the start"))?;
        let program = program.context("it holds neither an ELF file nor a multiboot image")?;
        let mut source = Source::Stream(stream);
        let ranges = program.load(&mut source, memory, taken)?;
        let placed = program.place(ranges, memory, &source, false)?;
        match source {
            Source::Stream(stream) => stream.finish()?,
            Source::File { .. } => {}
        }
        Ok(placed)
    }
}

/// Opens a file that is to be read by position; gives its length too.
fn open(path: &Path) -> Result<(File, u64)> {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    ensure!(!meta.is_dir(), "is a directory");
    ensure!(meta.is_file(), "is not a regular file");
    ensure!(meta.len() > 0, "is empty");
    Ok((file, meta.len()))
}

fn recognise(file: &File, len: u64) -> Result<Form> {
    let head = source::bytes(file, 0, HEAD.min(usize::try_from(len)?)).context("read it")?;
    if bzimage::is(&head) {
        let setup = Setup::parse(&head, len)?;
        let payload = setup.method(file)?;
        return Ok(Form::Bzimage(Box::new(setup), payload));
    }
    if let Some(program) = plain(&head, Some(len), |at, n| Ok(source::bytes(file, at, n)?))? {
        return Ok(Form::Plain(program));
    }
    match Method::of(&head) {
        Some(method) => Ok(Form::Packed(method)),
        None => Err(foreign::refusal(&head)),
    }
}

/// An ELF file or a multiboot image; `len` is its length where that is known.
fn plain(head: &[u8], len: Option<u64>, more: impl FnOnce(u64, usize) -> Result<Vec<u8>>) -> Result<Option<Program>> {
    let multiboot = multiboot::Header::find(head);
    // Address fields come first: they may describe an ELF file that a loader would misread.
    if let Some(program) = multiboot.map(|h| h.program(len)).transpose()?.flatten() {
        return Ok(Some(program));
    }
    if head.starts_with(elf::MAGIC) {
        return Ok(Some(Program { multiboot, ..elf::parse(head, more)? }));
    }
    ensure!(multiboot.is_none(), "its multiboot header has no addresses, and it is no ELF file");
    Ok(None)
}

#[cfg(test)]
mod tests;
