//! The boots of the file: kernels x machines x tests, without what is restricted or left out.

use super::file::{Checked, Ends, Exclude, File, Keys, Memory, Strings, Test, Vcpus};
use crate::config::values::Period;
use crate::klog::{FailOn, Kind};
use anyhow::{Context, Result, ensure};
use regex_lite::Regex;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More than anybody waits for.
const MOST: usize = 100_000;
const TIMEOUT: Duration = Duration::from_secs(300);
const MEMORY: u64 = 1 << 30;

/// What stands for a kernel or a machine where the file names none.
const ONLY: &str = "default";

/// One boot, with everything that says how it is done and judged.
#[derive(Debug, Clone)]
pub struct Boot {
    pub kernel: String,
    pub machine: String,
    pub test: String,
    /// The kernel's image; without one it is the child that finds the kernel.
    pub image: Option<PathBuf>,
    pub modules: Option<PathBuf>,
    pub keys: Keys,
    pub what: Test,
}

impl Boot {
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.kernel, self.machine, self.test)
    }

    pub fn timeout(&self) -> Duration {
        self.keys.timeout.as_ref().map_or(TIMEOUT, |t: &Checked<Period>| t.value.0)
    }

    /// Bytes of the guest.
    pub fn memory(&self) -> u64 {
        self.keys.memory.as_ref().map_or(MEMORY, |m: &Checked<Memory>| m.value.0)
    }

    pub fn cpus(&self) -> u32 {
        self.keys.cpus.as_ref().map_or(1, |c: &Checked<Vcpus>| c.value.0)
    }

    /// Kinds of reports that fail it: not those that are expected. Who expects a panic expects what leads to it.
    pub fn fail_on(&self) -> FailOn {
        let expect = &self.what.expect;
        let panic = expect.ends == Some(Ends::Panic)
            || (expect.ends.is_none() && expect.status == Some(255))
            || expect.report.0.contains(&Kind::Panic);
        let expected = |k: &Kind| expect.report.0.contains(k) || (panic && matches!(k, Kind::Panic | Kind::Oops));
        let all = self.keys.fail_on.unwrap_or_default().0;
        Kind::ALL.iter().copied().filter(|k| all.contains(*k) && !expected(k)).collect()
    }

    pub fn retry(&self) -> u32 {
        self.keys.retry.unwrap_or(0)
    }

    /// Whether `kiln exec` does it; else `kiln run`.
    pub fn has_command(&self) -> bool {
        self.what.command.is_some()
    }
}

/// All boots in the file's order: by kernel, by machine, by test.
pub fn expand(file: &File) -> Result<Vec<Boot>> {
    let only =
        |list: Vec<(String, _)>| if list.is_empty() { vec![(ONLY.to_string(), Default::default())] } else { list };
    let kernels = only(file.kernels.clone());
    let machines =
        if file.machines.is_empty() { vec![(ONLY.to_string(), Default::default())] } else { file.machines.clone() };
    let all = kernels.len().saturating_mul(machines.len()).saturating_mul(file.tests.len());
    ensure!(all <= MOST, "{all} boots are too many; the most are {MOST}");
    let mut boots = Vec::new();
    for (kernel, k) in &kernels {
        for (machine, m) in &machines {
            for (test, t) in &file.tests {
                let kept = wants(t.kernels.as_ref(), kernel) && wants(t.machines.as_ref(), machine);
                if !kept || file.exclude.iter().any(|e| is_excluded(e, kernel, machine, test)) {
                    continue;
                }
                boots.push(Boot {
                    kernel: kernel.clone(),
                    machine: machine.clone(),
                    test: test.clone(),
                    image: k.path.clone(),
                    modules: k.modules.clone(),
                    keys: file.defaults.clone().and(k.keys()).and(m.keys()).and(t.keys()),
                    what: t.clone(),
                });
            }
        }
    }
    ensure!(!boots.is_empty(), "everything is excluded: there is nothing to boot");
    Ok(boots)
}

/// Without a list everything is wanted.
fn wants(list: Option<&Strings>, name: &str) -> bool {
    list.is_none_or(|l| l.0.iter().any(|n| n == name))
}

fn is_excluded(e: &Exclude, kernel: &str, machine: &str, test: &str) -> bool {
    wants(e.kernel.as_ref(), kernel) && wants(e.machine.as_ref(), machine) && wants(e.test.as_ref(), test)
}

/// Those whose name has `pattern` in it.
pub fn filter(boots: Vec<Boot>, pattern: Option<&Regex>) -> Result<Vec<Boot>> {
    let Some(pattern) = pattern else { return Ok(boots) };
    let all = boots.len();
    let left: Vec<Boot> = boots.into_iter().filter(|b| pattern.is_match(&b.name())).collect();
    ensure!(!left.is_empty(), "--filter {pattern}: none of {all} boots has such a name; --list shows them");
    Ok(left)
}

/// Kernels and initial RAM disks are there, before anything is started. Paths are relative to `dir`.
pub fn check_files(file: &File, dir: &Path) -> Result<()> {
    let wrong = |at: &[&str], path: &Path| {
        let meta = std::fs::metadata(dir.join(path));
        meta.map(drop).with_context(|| path.display().to_string()).map_err(|e| file.wrong(at, &format!("{e:#}")))
    };
    for (name, kernel) in &file.kernels {
        for (key, path) in [("path", &kernel.path), ("modules", &kernel.modules)] {
            if let Some(path) = path {
                wrong(&["kernels", name, key], path)?;
            }
        }
    }
    let keys = |of: Keys| of.initrd.0;
    let tables = [(vec!["defaults"], keys(file.defaults.clone()))]
        .into_iter()
        .chain(file.kernels.iter().map(|(n, k)| (vec!["kernels", n.as_str()], keys(k.keys()))))
        .chain(file.machines.iter().map(|(n, m)| (vec!["machines", n.as_str()], keys(m.keys()))))
        .chain(file.tests.iter().map(|(n, t)| (vec!["tests", n.as_str()], keys(t.keys()))));
    for (mut at, initrds) in tables {
        at.push("initrd");
        for path in initrds {
            wrong(&at, Path::new(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
