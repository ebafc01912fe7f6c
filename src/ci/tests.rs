//! What the tests of this module share: matrices whose boots are shell lines (tests/data/ci/kiln stands for kiln).

use super::*;
use crate::sys::EventFd;
use std::sync::Mutex;
use tempfile::TempDir;

/// A folder, and a matrix to be run in it.
pub struct Rig {
    pub dir: TempDir,
    pub boots: Vec<Boot>,
    pub plan: Plan,
    pub bell: EventFd,
}

impl Rig {
    pub fn new(text: &str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ci/kiln");
        let launcher = attempt::Launcher { program, dir: dir.path().to_path_buf() };
        let plan = Plan {
            launcher,
            out: dir.path().join("out"),
            jobs: Some(4),
            processors: 4,
            memory: 8 << 30,
            retry: None,
            fail_fast: false,
        };
        let boots = matrix::expand(&File::parse("kiln.toml", text).unwrap()).unwrap();
        plan.make_folders(&boots).unwrap();
        Rig { dir, boots, plan, bell: crate::sys::eventfd().unwrap() }
    }

    pub fn run(&self) -> Vec<Done> {
        self.run_with(&mut |_| Ok(()))
    }

    pub fn run_with(&self, each: &mut dyn FnMut(&Done) -> Result<()>) -> Vec<Done> {
        self.plan.check(&self.boots).unwrap();
        self.plan.run(&self.boots, &self.bell, &Progress::silent(), each).unwrap()
    }

    /// The only boot's verdict and reasons.
    pub fn one(&self) -> (Verdict, String) {
        let done = self.run();
        assert_eq!(done.len(), 1);
        (done[0].verdict, done[0].reasons.join("; "))
    }
}

/// A test whose "guest" is a line of shell.
pub fn one(line: &str, keys: &str) -> (Verdict, String) {
    Rig::new(&format!("[tests.t]\ncommand = '''{line}'''\n{keys}")).one()
}

#[test]
fn a_summary_passes_when_every_boot_does() {
    let rig = Rig::new("[tests.a]\ncommand='say 0 exited'\n[tests.b]\ncommand='x'\nskip='why not'");
    let done = rig.run();
    assert_eq!((done[1].verdict, done[1].reasons.as_slice()), (Verdict::Skipped, &["why not".to_string()][..]));
    let mut summary = Summary { boots: rig.boots.clone(), done, time: Duration::ZERO, interrupted: false };
    assert!(summary.passed(Flaky::Fail));
    summary.done[0].verdict = Verdict::Flaky;
    assert!(summary.passed(Flaky::Pass) && !summary.passed(Flaky::Fail));
    for verdict in [Verdict::Failed, Verdict::Error, Verdict::NotRun] {
        summary.done[0].verdict = verdict;
        assert!(!summary.passed(Flaky::Pass), "{verdict:?}");
    }
    summary.done.clear();
    assert!(!summary.passed(Flaky::Pass), "no result is no pass");
}

#[test]
fn progress_is_told_of_lines_only_while_they_are_few() {
    // A flood of lines does not become a flood of updates.
    let seen = Mutex::new(0usize);
    let rig = Rig::new("[tests.t]\ncommand='seq 200000; say 0 exited'");
    let places = attempt::Places { log: rig.dir.path().join("log"), result: rig.dir.path().join("result") };
    let show = |_: &str| *seen.lock().unwrap() += 1;
    let heard = attempt::attempt(&rig.plan.launcher, &rig.boots[0], &places, &rig.bell, &show).unwrap();
    assert_eq!(judge::judge(&rig.boots[0], &heard).0, Verdict::Passed);
    let updates = *seen.lock().unwrap();
    assert!((1..20_000).contains(&updates), "{updates}");
    assert!(std::fs::read_to_string(places.log).unwrap().contains(" out  200000\n"));
}
