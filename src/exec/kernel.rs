//! Which kernel: the one named, the tree the user stands in, or the host's own.

use crate::boot::Image;
use anyhow::{Context, Error, Result, bail, ensure};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What a kernel build leaves in its tree, the better first: a bzImage has a header that says more.
const BUILT: [&str; 2] = ["arch/x86/boot/bzImage", "vmlinux"];
/// Where a build notes its release.
const RELEASE: &str = "include/config/kernel.release";
/// Longer than what is in a file that holds a release.
const RELEASE_MAX: u64 = 256;

/// A kernel that was chosen, open and recognised.
pub struct Kernel {
    pub path: PathBuf,
    /// What `uname -r` will say.
    pub release: Option<String>,
    /// The build tree it lies in.
    pub tree: Option<PathBuf>,
    image: Image,
}

impl Kernel {
    /// What messages call it.
    pub fn name(&self) -> String {
        match &self.release {
            Some(release) => format!("kernel {release}"),
            None => format!("kernel {}", self.path.display()),
        }
    }

    pub fn image(&self) -> &Image {
        &self.image
    }
}

/// The kernel to run a command in. `named` is a kernel file, or a build tree with one in it; without it see [`find`].
/// Errors when there is none, when it cannot be read, or cannot run kiln as its init.
pub fn choose(named: Option<&Path>) -> Result<Kernel> {
    let path = find(named)?;
    let image = Image::open(&path).map_err(|e| explain(&path, e))?;
    ensure!(
        image.is_64bit() != Some(false),
        "kernel {}: is a 32-bit one, where kiln, a 64-bit program, cannot be the init",
        path.display()
    );
    let tree = tree_of(&path);
    let noted = || release_in(tree.as_deref()?);
    // A bzImage says what it is itself; a tree may have been worked on since it was built.
    let release =
        if image.setup().is_some() { image.release().or_else(noted) } else { noted().or_else(|| image.release()) };
    Ok(Kernel { path, release, tree, image })
}

/// The path of the kernel `named`, which may be a build tree. Without it, and said on stderr: what is built where the
/// user stands, else the host's own.
pub fn find(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(dir) if dir.is_dir() => in_tree(dir)
            .with_context(|| format!("kernel {}: is a directory without {} or {}", dir.display(), BUILT[0], BUILT[1])),
        Some(file) => Ok(file.to_path_buf()),
        None => {
            let path = default(Path::new(""), Path::new("/"), &running())?;
            eprintln!("kiln: kernel {}", path.display());
            Ok(path)
        }
    }
}

/// Whether a kernel was built where the user stands.
pub fn is_built_here() -> bool {
    in_tree(Path::new("")).is_some()
}

/// The release of the kernel that runs here.
fn running() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string()
}

fn in_tree(dir: &Path) -> Option<PathBuf> {
    BUILT.iter().map(|name| dir.join(name)).find(|path| path.exists())
}

/// What is built in `here`, or under `root` the installed kernel of this `release` that can be read.
fn default(here: &Path, root: &Path, release: &str) -> Result<PathBuf> {
    if let Some(path) = in_tree(here) {
        return Ok(path);
    }
    let installed = [
        format!("boot/vmlinuz-{release}"),
        format!("lib/modules/{release}/vmlinuz"),
        format!("usr/lib/modules/{release}/vmlinuz"),
    ];
    let installed = installed.map(|name| root.join(name));
    let mut refused = None;
    for path in &installed {
        match File::open(path) {
            Ok(_) => return Ok(path.clone()),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => refused = refused.or(Some((path, e))),
        }
    }
    if let Some((path, e)) = refused {
        return Err(explain(path, Error::from(e).context(format!("kernel {}", path.display()))));
    }
    let places = installed.map(|p| p.display().to_string()).join(", ");
    bail!("no kernel was named, and none of {}, {}, {places} exists", BUILT[0], BUILT[1]);
}

/// Adds what helps to the error of opening `path`.
fn explain(path: &Path, error: Error) -> Error {
    let denied = error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>());
    if !denied.into_iter().any(|e| e.kind() == ErrorKind::PermissionDenied) {
        return error;
    }
    let path = path.display();
    let advice = "some distributions let only root read their kernels";
    Error::msg(format!("{error:#}: {advice}; `sudo chmod a+r {path}` changes that, or name another kernel"))
}

/// The build tree that a kernel file lies in.
fn tree_of(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let depth = |name: &&str| real.ends_with(name).then(|| Path::new(name).components().count());
    let tree = real.ancestors().nth(BUILT.iter().find_map(depth)?)?;
    [RELEASE, ".config", "modules.order"].iter().any(|name| tree.join(name).exists()).then(|| tree.to_path_buf())
}

/// What the build of `tree` noted.
fn release_in(tree: &Path) -> Option<String> {
    let text = super::modules::read(&tree.join(RELEASE), RELEASE_MAX).ok()?;
    let release = text.trim();
    crate::boot::is_release(release).then(|| release.to_string())
}

#[cfg(test)]
mod tests;
