//! `--display KIND[=...]`: how the guest's screen is looked at, and the devices that it takes.

use crate::config::{Config, Device, Display, Options};
use crate::devices;
use crate::host::display::{self, KINDS};
use crate::host::seat::keymap::Layout;
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches};

/// What a guest with a screen has unless it was given others of the kind.
const DEVICES: &[(&str, &[&str])] = &[("gpu", &[""]), ("input", &["keyboard", "tablet"]), ("clipboard", &[""])];
/// And one that is heard: nothing else is done with what it plays.
const HEARD: (&str, &[&str]) = ("sound", &["null"]);

pub fn flag() -> Arg {
    let kinds = KINDS.iter().map(|kind| {
        let options = kind.options.iter().map(|o| format!("\n    {}", o.line()));
        format!("\n  {}: {}{}", kind.name, kind.about, options.collect::<String>())
    });
    let about = "Give the guest a screen, and say how to look at it";
    Arg::new("display")
        .long("display")
        .value_name("KIND")
        .action(ArgAction::Append)
        .help(format!("{about}: {}", KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")))
        .long_help(format!("{about}{}", kinds.collect::<String>()))
}

/// What is printed on the guest's keys.
pub fn layout_flag() -> Arg {
    let all = Layout::all().map(|l| format!("{} ({})", l.name(), l.about())).collect::<Vec<_>>().join(", ");
    Arg::new("keyboard-layout")
        .long("keyboard-layout")
        .value_name("LAYOUT")
        .value_parser(Layout::all().map(Layout::name).collect::<Vec<_>>())
        .help("The keyboard layout that the guest is set to, for text that is typed at it [default: us]")
        .long_help(format!(
            "The keyboard layout that the guest is set to, for text that is typed at it, and for viewers that send characters \
             instead of keys: {all} [default: us]"
        ))
}

/// Adds the displays that were asked for, and the devices that are not there yet.
pub fn add(m: &ArgMatches, config: &mut Config) -> Result<()> {
    config.keyboard_layout = m.get_one::<String>("keyboard-layout").cloned();
    for text in m.get_many::<String>("display").into_iter().flatten() {
        config.displays.push(parse(text).with_context(|| format!("--display {text}"))?);
    }
    if config.displays.is_empty() {
        return Ok(());
    }
    let mut heard = false;
    for display in &config.displays {
        let kind = display::find(display.kind)?;
        heard |= (kind.heard)(&display.options)
            .with_context(|| format!("--display {}={}", display.kind, display.options))?;
    }
    for (name, all) in DEVICES.iter().chain(heard.then_some(&HEARD)) {
        let Ok(kind) = devices::find(name) else { continue };
        if config.devices.iter().any(|d| d.kind == kind.name) {
            continue;
        }
        for (n, options) in all.iter().enumerate() {
            let options = Options::parse(options, kind.positional())?;
            config.devices.push(Device { kind: kind.name, id: format!("{name}{n}"), options });
        }
    }
    Ok(())
}

/// `vnc`, `vnc=ADDRESS,password=..`, `vnc,password=..`.
fn parse(text: &str) -> Result<Display> {
    let (name, options) = text.split_at(text.find(['=', ',']).unwrap_or(text.len()));
    let kind = display::find(name)?;
    let options = Options::parse(options.get(1..).unwrap_or_default(), kind.positional())?;
    Ok(Display { kind: kind.name, options })
}

#[cfg(test)]
mod tests;
