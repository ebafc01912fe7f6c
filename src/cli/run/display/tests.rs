use super::*;
use crate::cli::{flags, run};
use std::path::PathBuf;

/// The kinds of devices that a guest has with these arguments, and what its sound cards are told.
fn kinds(args: &[&str]) -> (Vec<&'static str>, Vec<String>) {
    let matches = run::command().try_get_matches_from([&["run"], args].concat()).unwrap();
    let mut config = flags::config(&matches, PathBuf::new()).unwrap();
    add(&matches, &mut config).unwrap();
    let sound = config.devices.iter().filter(|d| d.kind == "sound").map(|d| d.options.to_string()).collect();
    (config.devices.iter().map(|d| d.kind).collect(), sound)
}

#[test]
fn a_guest_that_is_looked_at_has_what_that_takes() {
    let screen = ["gpu", "input", "input", "clipboard"];
    let heard = [&screen[..], &["sound"]].concat();
    assert_eq!(kinds(&[]).0, [""; 0]);
    for display in ["none", "vnc", "window", "web,sound=off"] {
        assert_eq!(kinds(&["--display", display]).0, screen, "{display}");
    }
    for display in ["web", "web=8006", "web,sound=on"] {
        assert_eq!(kinds(&["--display", display]).0, heard, "{display}");
    }
    assert_eq!(kinds(&["--display", "vnc", "--display", "web"]).0, heard);
    assert_eq!(kinds(&["--display", "web"]).1, kinds(&["--sound", "null"]).1, "it goes nowhere else");
    // Whoever says what cards there are has no others.
    let (kinds, sound) = kinds(&["--display", "web", "--sound", "wav=a.wav"]);
    assert_eq!((kinds.len(), sound), (5, vec!["wav=a.wav".to_string()]));
}
