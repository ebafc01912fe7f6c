//! Kernel modules from the initramfs, in the order its maker found.

use crate::sys::pid1;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Loads what `dir`/order lists, one module a line: its file, then its parameters. Goes on after an error, as the rest may
/// do; the first one is returned. The files are removed: they are memory.
pub fn load_all(dir: &Path) -> Result<(), String> {
    let order = match fs::read_to_string(dir.join("order")) {
        Ok(order) => order,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("read {}: {e}", dir.join("order").display())),
    };
    let mut result = Ok(());
    for (name, parameters) in order.lines().filter_map(entry) {
        let file = dir.join(name);
        let loaded = load(&file, parameters).map_err(|e| format!("load module {name}: {}", reason(&e)));
        let _ = fs::remove_file(file);
        result = result.and(loaded);
    }
    result
}

/// File and parameters of a line.
fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, parameters) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (!name.is_empty()).then(|| (name, parameters.trim()))
}

fn load(file: &Path, parameters: &str) -> io::Result<()> {
    match pid1::load_module(&File::open(file)?, &CString::new(parameters)?) {
        // It is loaded, or built in.
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}

fn reason(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::ENOEXEC) => "it is for another kernel".into(),
        Some(libc::ENOSYS) => "this kernel cannot load modules (CONFIG_MODULES)".into(),
        Some(libc::ENOENT) => "it needs something that this kernel does not have, or its file is missing".into(),
        Some(libc::EKEYREJECTED | libc::ENOKEY) => "this kernel wants it signed (CONFIG_MODULE_SIG_FORCE)".into(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_files_and_parameters() {
        assert_eq!(entry("fuse.ko"), Some(("fuse.ko", "")));
        assert_eq!(entry("  a.ko  x=1 y=\"2 3\" \r"), Some(("a.ko", "x=1 y=\"2 3\"")));
        assert_eq!((entry(""), entry("   ")), (None, None));
    }

    #[test]
    fn an_error_names_the_module_and_the_rest_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load_all(dir.path()), Ok(()));
        fs::write(dir.path().join("order"), "gone.ko\nnonsense.ko a=1\n").unwrap();
        fs::write(dir.path().join("nonsense.ko"), "no module").unwrap();
        assert!(load_all(dir.path()).unwrap_err().starts_with("load module gone.ko: "));
        assert!(!dir.path().join("nonsense.ko").exists());
    }
}
