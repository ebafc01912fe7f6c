//! A program of the host that plays what it reads: PipeWire's, PulseAudio's or ALSA's, whichever is there. It runs while the
//! guest plays. kiln itself talks to no sound server, so it needs no library for one.

use super::{Format, Sample, Sink};
use crate::sys::readiness::{self, Watch};
use crate::sys::socket::set_nonblocking;
use anyhow::{Context, Result};
use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What it is started with.
type Arguments = fn(Format, &Program) -> Vec<String>;

/// Its programs, the best first.
const PROGRAMS: &[(&str, Arguments)] = &[("pacat", pacat), ("pw-cat", pw_cat), ("aplay", aplay)];
/// Silence in front of all that is played, in milliseconds: what the guest gives may come that much too late without a gap.
const LEAD: u32 = 60;
/// A pipe takes this many bytes as a whole or not at all (PIPE_BUF).
const PIECE: u32 = 4096;

/// How long a program has to say what it knows, and how much of that is read.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_HELP: u64 = 64 << 10;

/// A program that was found.
struct Program {
    path: PathBuf,
    /// What its `--help` says, from when that first matters.
    help: OnceCell<String>,
}

impl Program {
    fn help(&self) -> &str {
        self.help.get_or_init(|| ask(&self.path).unwrap_or_default())
    }
}

fn ask(program: &Path) -> std::io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--help").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn()?;
    let output = child.stdout.take();
    let _ended = Ending(Some(child));
    let (deadline, mut said) = (Instant::now() + PATIENCE, Vec::new());
    let Some(mut output) = output.map(|output| output.take(LONGEST_HELP)) else { return Ok(String::new()) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watches = [Watch::new(output.get_ref().as_fd(), true, false)];
        readiness::wait(&mut watches, Some(left))?;
        let mut piece = [0; 4096];
        match watches.iter().any(Watch::ready) {
            true => match output.read(&mut piece)? {
                0 => break,
                n => said.extend_from_slice(piece.get(..n).unwrap_or_default()),
            },
            false if left.is_zero() => break,
            false => {}
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Older ones take what comes from a pipe for raw samples; newer ones want that said, with a word that the older do not know.
fn pw_cat(format: Format, program: &Program) -> Vec<String> {
    let sample = match format.sample {
        Sample::U8 => "u8",
        Sample::S16 => "s16",
        Sample::S32 => "s32",
        Sample::Float => "f32",
    };
    let (rate, channels) = (format.rate.to_string(), format.channels.to_string());
    let words = ["--playback", "--rate", &rate, "--channels", &channels, "--format", sample];
    let raw = program.help().contains("--raw").then_some("--raw");
    words.into_iter().chain(raw).chain(["-"]).map(String::from).collect()
}

fn pacat(format: Format, _: &Program) -> Vec<String> {
    let sample = match format.sample {
        Sample::U8 => "u8",
        Sample::S16 => "s16le",
        Sample::S32 => "s32le",
        Sample::Float => "float32le",
    };
    vec![
        "--playback".to_string(),
        "--raw".to_string(),
        "--client-name=kiln".to_string(),
        format!("--rate={}", format.rate),
        format!("--channels={}", format.channels),
        format!("--format={sample}"),
    ]
}

fn aplay(format: Format, _: &Program) -> Vec<String> {
    let sample = match format.sample {
        Sample::U8 => "U8",
        Sample::S16 => "S16_LE",
        Sample::S32 => "S32_LE",
        Sample::Float => "FLOAT_LE",
    };
    vec![
        "-q".to_string(),
        "-t".to_string(),
        "raw".to_string(),
        format!("-f{sample}"),
        format!("-r{}", format.rate),
        format!("-c{}", format.channels),
    ]
}

pub struct Player {
    program: Program,
    arguments: Arguments,
    playing: Option<Playing>,
    /// Has been given all, and plays the rest of it.
    ending: Ending,
    /// What went wrong has been said.
    told: bool,
}

struct Playing {
    child: Child,
    /// `None`: it takes no more.
    input: Option<ChildStdin>,
    frame: u32,
}

impl Player {
    /// Looks along `path`, which is as PATH is.
    pub fn find(path: &OsStr) -> Result<Player> {
        let runs = |program: &PathBuf| program.is_file();
        let found = PROGRAMS.iter().find_map(|(name, arguments)| {
            let path = std::env::split_paths(path).map(|dir| dir.join(name)).find(runs)?;
            let program = Program { path, help: OnceCell::new() };
            Some(Player { program, arguments: *arguments, playing: None, ending: Ending(None), told: false })
        });
        let names = || PROGRAMS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found.with_context(|| {
            format!("none of {} is on PATH, which could play sound; install one, or say wav=FILE or null", names())
        })
    }

    fn play(&self, format: Format) -> Result<Playing> {
        let mut command = Command::new(&self.program.path);
        command
            .args((self.arguments)(format, &self.program))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A Ctrl-C on the terminal is for the guest.
        let mut child = command.process_group(0).spawn().context("start it")?;
        let input = child.stdin.take();
        if let Some(input) = &input {
            set_nonblocking(input.as_fd()).context("make its input not wait")?;
        }
        let mut playing = Playing { child, input, frame: format.frame().max(1) };
        let lead = u64::from(format.rate) * u64::from(LEAD) / 1000 * u64::from(playing.frame);
        playing.write(&vec![format.sample.silence(); lead as usize])?;
        Ok(playing)
    }

    fn tell(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.told, true) {
            log::warn!("{}: {error:#}; the guest's sound is not heard", self.program.path.display());
        }
    }
}

impl Playing {
    /// What the program does not take at once is lost: it lags behind, and would ever after.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let piece = PIECE - PIECE % self.frame;
        for piece in bytes.chunks(piece.max(1) as usize) {
            match input.write(piece) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => {
                    self.input = None;
                    return Err(e).context("it has ended");
                }
            }
        }
        Ok(())
    }
}

/// At most one program: the one before has had its time.
struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Sink for Player {
    fn start(&mut self, format: Format) {
        self.stop();
        match self.play(format) {
            Ok(playing) => self.playing = Some(playing),
            Err(e) => self.tell(&e),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(Err(e)) = self.playing.as_mut().map(|playing| playing.write(bytes)) {
            self.tell(&e);
        }
    }

    fn stop(&mut self) {
        if let Some(Playing { child, input, .. }) = self.playing.take() {
            // The end of its input tells it to end.
            drop(input);
            self.ending = Ending(Some(child));
        }
    }
}
