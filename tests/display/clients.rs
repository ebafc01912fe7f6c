//! Those who look: clients of VNC.

use crate::picture::pixel;
use crate::rfb::Client;
use crate::vm::{Shot, Vm};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Our own client, at the socket `vnc` in the machine's folder.
pub fn connect(vm: &Vm, encodings: &[i32]) -> Client {
    let wire = UnixStream::connect(vm.dir().join("vnc")).unwrap();
    Client::open(Box::new(wire), encodings).unwrap()
}

/// A, by its place on the keyboard, and let go.
pub fn press(client: &mut Client) {
    [true, false].iter().for_each(|down| client.extended_key(0x61, 0x1e, *down).unwrap());
}

/// What it has.
pub fn shot(client: &Client) -> Shot {
    Shot::new(client.width, client.height, &client.pixels)
}

/// Whether it has picture `n`, as far as some of the pixels tell.
pub fn shows(client: &Client, n: u32) -> bool {
    let at = |x: u32, y: u32| client.pixels[(y * client.width + x) as usize] == pixel(n, x, y);
    let (width, height) = (client.width, client.height);
    let mut grid = (0..height).step_by(16).flat_map(|y| (0..width).step_by(16).map(move |x| (x, y)));
    grid.all(|(x, y)| at(x, y)) && at(width - 1, height - 1)
}

/// vncdotool, as tests/setup installs it.
pub fn vncdo(server: &str, args: &[&str]) -> Output {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || var("HOME").unwrap_or("/root".into()).join(".cache");
    let cache = var("KILN_CACHE").unwrap_or_else(|| var("XDG_CACHE_HOME").unwrap_or_else(home).join("kiln"));
    let program = cache.join("vncdotool/bin/vncdo");
    assert!(program.exists(), "{} is not there; make setup installs it", program.display());
    let mut command = Command::new(program);
    command.args(["--server", server, "--timeout", "120"]).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}
