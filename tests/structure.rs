//! The shape of the code is a test: layers point down, files stay small, `unsafe` stays where it is explained.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A module imports only modules of earlier rows, and nobody of its own row.
const LAYERS: &[&[&str]] = &[
    &["sys"],
    &["bus", "config", "event", "irq", "klog", "ktap", "part"],
    &["mem"],
    &["agent", "boot", "host", "kvm", "pci", "printk"],
    &["bootable", "platform", "virtio"],
    &["arch", "devices"],
    &["machine"],
    &["control"],
    &["ci", "exec", "selftest"],
    &["cli"],
];

const UNSAFE: &[&str] = &["src/sys/", "src/mem/", "src/kvm/", "src/selftest/guest/"];

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut all = Vec::new();
    files(Path::new("src"), &mut all);
    assert!(all.len() > 30, "found only {} files", all.len());
    all.iter().map(|p| (p.display().to_string(), fs::read_to_string(p).unwrap())).collect()
}

/// The guest of the self-test is a program of its own.
fn ours(name: &str) -> bool {
    !name.starts_with("src/selftest/guest/")
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The first segment of every `crate::x`, also inside `use crate::{x, y::z}`.
fn imports(text: &str) -> Vec<String> {
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + 7..];
        if !rest.starts_with('{') {
            found.push(word(rest));
            continue;
        }
        let mut depth = 0;
        for (i, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                found.push(word(rest[i + 1..].trim_start()));
            }
        }
    }
    found.retain(|w| !w.is_empty());
    found
}

#[test]
fn imports_are_found() {
    let text = "use crate::a::b; use crate::{c, d::{e, f},\n g}; crate::h!();";
    assert_eq!(imports(text), ["a", "c", "d", "g", "h"]);
}

#[test]
fn modules_import_only_downwards() {
    let mut wrong = Vec::new();
    for (name, text) in sources().iter().filter(|(n, _)| ours(n)) {
        let module = name.split('/').nth(1).unwrap().trim_end_matches(".rs").to_string();
        let Some(here) = layer(&module) else { continue };
        for import in imports(text) {
            if import != module && layer(&import).is_some_and(|there| there >= here) {
                wrong.push(format!("{name} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let main = fs::read_to_string("src/main.rs").unwrap();
    for line in main.lines().filter_map(|l| l.strip_prefix("mod ")) {
        let module = line.trim_end_matches(';');
        assert!(layer(module).is_some(), "{module} is in no layer");
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (name, text) in sources() {
        assert!(text.lines().count() <= 500, "{name} has {} lines", text.lines().count());
        assert!(text.starts_with("//!") || name.ends_with("tests.rs"), "{name} does not say what lives in it");
    }
}

#[test]
fn unsafe_is_explained_and_stays_in_its_place() {
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if !code.contains("unsafe ") || code.contains("unsafe_") {
                continue;
            }
            assert!(UNSAFE.iter().any(|p| name.starts_with(p)), "{name}:{} is unsafe", i + 1);
            let before = &lines[i.saturating_sub(6)..=i];
            let reason = before.iter().any(|l| l.contains("SAFETY") || l.contains("# Safety"));
            assert!(reason || !ours(&name), "{name}:{}: no reason", i + 1);
        }
    }
}
