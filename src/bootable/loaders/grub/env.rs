//! GRUB's variables.

use super::super::OPTIONS_MAX;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

const VARIABLES_MAX: usize = 1000;
/// What all together have.
const BYTES_MAX: usize = 256 << 10;
/// Those of GRUB 2.06 on a PC that generated configurations look at.
const FEATURES: [&str; 9] = [
    "feature_chainloader_bpb",
    "feature_ntldr",
    "feature_platform_search_hint",
    "feature_default_font_path",
    "feature_all_video_module",
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_200_final",
    "feature_timeout_style",
];

#[derive(Clone)]
pub struct Env {
    variables: BTreeMap<String, String>,
    bytes: usize,
    /// `$1` and so on.
    arguments: Vec<String>,
}

impl Env {
    /// As GRUB starts: `root` is where its files are, in `dir`.
    pub fn new(root: &str, dir: &str) -> Env {
        let prefix = format!("({root}){dir}");
        let fixed = [
            ("root", root),
            ("prefix", &prefix),
            ("cmdpath", &prefix),
            ("config_directory", &prefix),
            ("grub_platform", "pc"),
            ("grub_cpu", "i386"),
            ("secureboot", "no"),
        ];
        let features = FEATURES.iter().map(|name| (*name, "y"));
        let variables = fixed.into_iter().chain(features).map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Env { variables, bytes: 0, arguments: Vec::new() }
    }

    /// Empty when it is not set.
    pub fn get(&self, name: &str) -> &str {
        let text = match name.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|n| self.arguments.get(n)),
            Err(_) => self.variables.get(name),
        };
        text.map_or("", String::as_str)
    }

    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        ensure!(name.len() <= 256, "variable: a name of {} bytes", name.len());
        ensure!(value.len() <= OPTIONS_MAX, "variable {name}: a value of {} bytes", value.len());
        self.unset(name);
        self.bytes += value.len();
        self.variables.insert(name.to_string(), value.to_string());
        ensure!(self.variables.len() <= VARIABLES_MAX, "more than {VARIABLES_MAX} variables");
        ensure!(self.bytes <= BYTES_MAX, "variables: more than {BYTES_MAX} bytes");
        Ok(())
    }

    pub fn unset(&mut self, name: &str) {
        if let Some(old) = self.variables.remove(name) {
            self.bytes = self.bytes.saturating_sub(old.len());
        }
    }

    /// Gives `$1` and so on these values, and says what they had.
    pub fn arguments(&mut self, words: &[String]) -> Vec<String> {
        std::mem::replace(&mut self.arguments, words.to_vec())
    }

    pub fn restore(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }
}
