//! A listening unix socket: one client at a time, and the next one when it left.
//! Output while nobody is connected is dropped.

use super::ends::Ends;
use super::input::{Inbox, spawn};
use super::output::{Output, Sink, remove_when_drained};
use crate::sys::{Lock, fd};
use anyhow::{Context, Result, bail};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

type Client = Arc<Lock<Option<Arc<UnixStream>>>>;

/// Listens at `path`, in place of a socket that was left behind; only its owner may connect.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let name = || format!("listen on {}", path.display());
    let length = path.as_os_str().len();
    if length > fd::UNIX_PATH_MAX {
        bail!("{}: the path has {length} bytes, a socket's at most {}", name(), fd::UNIX_PATH_MAX);
    }
    remove_stale(path).with_context(name)?;
    fd::listen_privately(path).with_context(name)
}

pub fn listen(path: &Path) -> Result<Arc<Ends>> {
    let listener = bind(path)?;
    remove_when_drained(path.to_path_buf());
    let client = Client::default();
    let stream = Ends::new(Output::new(Guest(client.clone())), None);
    let inbox = stream.inbox.clone();
    spawn("unix", move || serve(&listener, &client, &inbox));
    Ok(Arc::new(stream))
}

/// A socket that nobody listens on was left behind by a process that was killed.
fn remove_stale(path: &Path) -> Result<()> {
    let Ok(about) = path.symlink_metadata() else { return Ok(()) };
    if !about.file_type().is_socket() {
        bail!("the file exists and is no socket");
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).context("remove the stale socket")
        }
        _ => bail!("another process listens there"),
    }
}

fn serve(listener: &UnixListener, client: &Client, inbox: &Inbox) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => Arc::new(stream),
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => continue,
            Err(e) => return log::error!("accept on a guest's socket: {e}"),
        };
        if let Err(e) = stream.set_nonblocking(true) {
            log::error!("prepare a guest's client: {e}");
            continue;
        }
        *client.lock() = Some(stream.clone());
        receive(&stream, inbox);
        *client.lock() = None;
        // Wakes a writer that waits for it.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Until the client leaves.
fn receive(stream: &UnixStream, inbox: &Inbox) {
    let mut buf = [0; 1024];
    loop {
        match (&*stream).read(&mut buf) {
            // It sends no more, but may still read (`nc -U PATH </dev/null`).
            Ok(0) => return fd::wait_hangup(stream.as_fd()).unwrap_or_default(),
            Ok(n) => inbox.put(buf.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if fd::wait_readable([stream.as_fd()]).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// The client of the moment as a sink.
struct Guest(Client);

impl Sink for Guest {
    fn write_now(&self, data: &[u8]) -> io::Result<usize> {
        let client = self.0.lock().clone();
        // Without a client the data is done with.
        client.map_or(Ok(data.len()), |c| fd::send_now(c.as_fd(), data))
    }

    fn wait(&self) -> io::Result<()> {
        let client = self.0.lock().clone();
        client.map_or(Ok(()), |c| fd::wait_writable(c.as_fd()))
    }
}
