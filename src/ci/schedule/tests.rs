use super::*;
use crate::ci::tests::Rig;

/// A test that fails until it has been tried `n` times.
fn flaky(n: u32) -> String {
    format!("echo x >>tries; [ $(wc -l <tries) -ge {n} ] || say 1 exited; say 0 exited")
}

#[test]
fn passed_on_retry_is_flaky_and_every_attempt_has_its_log() {
    let rig = Rig::new(&format!("[tests.t]\nretry=3\ncommand='''{}'''", flaky(3)));
    let done = rig.run();
    assert_eq!((done[0].verdict, done[0].tried.len()), (Verdict::Flaky, 3));
    assert_eq!(done[0].reasons, ["status 1"]);
    let dir = rig.plan.out.join("default/default");
    for (log, status) in [("t.log", "status 1"), ("t.2.log", "status 1"), ("t.3.log", "status 0")] {
        let text = std::fs::read_to_string(dir.join(log)).unwrap();
        assert!(text.trim_end().ends_with(status), "{log}: {text}");
    }
    // The next run begins without them.
    rig.plan.make_folders(&rig.boots).unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn retries_are_bounded_and_the_command_line_wins() {
    let mut rig = Rig::new(&format!("[tests.t]\nretry=5\ncommand='''{}'''", flaky(3)));
    rig.plan.retry = Some(1);
    let done = rig.run();
    assert_eq!((done[0].verdict, done[0].tried.len()), (Verdict::Failed, 2));
}

/// Each boot notes how many run with it: the most that there were at a time.
fn most_at_a_time(keys: &str, change: impl FnOnce(&mut Plan)) -> usize {
    let line = "mkdir run.$$; sleep 0.2; ls -d run.* | wc -l >>counts; sleep 0.2; rmdir run.$$; say 0 exited";
    let tests: String = (0..6).map(|n| format!("[tests.t{n}]\ncommand='{line}'\n")).collect();
    let mut rig = Rig::new(&format!("[defaults]\n{keys}\n{tests}"));
    change(&mut rig.plan);
    assert!(rig.run().iter().all(|d| d.verdict == Verdict::Passed));
    let counts = std::fs::read_to_string(rig.dir.path().join("counts")).unwrap();
    counts.lines().map(|l| l.trim().parse::<usize>().unwrap()).max().unwrap()
}

#[test]
fn never_more_at_a_time_than_jobs_processors_and_memory_allow() {
    assert!(most_at_a_time("", |p| p.jobs = Some(2)) <= 2);
    let cpus = |p: &mut Plan| (p.jobs, p.processors) = (None, 4);
    assert!(most_at_a_time("cpus=2", cpus) <= 2);
    assert_eq!(most_at_a_time("cpus=8", cpus), 1);
    assert!(most_at_a_time("memory='1G'", |p| (p.jobs, p.memory) = (Some(6), 2200 << 20)) <= 2);
}

#[test]
fn they_do_run_at_the_same_time() {
    // Each waits for the other.
    let line = |us: &str, them: &str| format!("touch {us}; while [ ! -e {them} ]; do sleep 0.05; done; say 0 exited");
    let rig = Rig::new(&format!("[tests.a]\ncommand='{}'\n[tests.b]\ncommand='{}'", line("a", "b"), line("b", "a")));
    assert!(rig.run().iter().all(|d| d.verdict == Verdict::Passed));
}

#[test]
fn what_can_never_fit_is_refused_before_anything_runs() {
    let rig = Rig::new("[tests.t]\nmemory='100G'\ncommand='x'");
    let e = format!("{:#}", rig.plan.check(&rig.boots).unwrap_err());
    assert_eq!(e, "default/default/t: needs 102432 MiB, and there are 8192 MiB (--memory says otherwise)");
    let rig = Rig::new("[tests.t]\nmemory='17592186044415M'\ncommand='x'");
    rig.plan.check(&rig.boots).unwrap_err();
    let skipped = Rig::new("[tests.t]\nmemory='100G'\nskip='later'\ncommand='x'");
    skipped.plan.check(&skipped.boots).unwrap();
}

#[test]
fn the_first_failure_can_end_it() {
    let mut rig = Rig::new("[tests.a]\ncommand='say 1 exited'\n[tests.b]\ncommand='say 0 exited'");
    (rig.plan.jobs, rig.plan.fail_fast) = (Some(1), true);
    let verdicts: Vec<_> = rig.run().iter().map(|d| (d.verdict, d.reasons.join(""))).collect();
    let reason = "--fail-fast: another boot failed".to_string();
    assert_eq!(verdicts, [(Verdict::Failed, "status 1".to_string()), (Verdict::NotRun, reason)]);
}

#[test]
fn when_the_bell_rings_the_rest_is_not_run() {
    let mut rig =
        Rig::new("[tests.a]\ncommand='say 0 exited'\n[tests.b]\nretry=5\ncommand='sleep 1000'\n[tests.c]\ncommand='x'");
    rig.plan.jobs = Some(1);
    let done = rig.run_with(&mut |_| Ok(rig.bell.write(1)?));
    let verdicts: Vec<_> = done.iter().map(|d| d.verdict).collect();
    // b had perhaps begun.
    assert_eq!(verdicts, [Verdict::Passed, Verdict::NotRun, Verdict::NotRun]);
}

#[test]
fn reports_that_cannot_be_written_end_it_with_an_error() {
    let mut rig = Rig::new("[tests.a]\ncommand='say 0 exited'\n[tests.b]\ncommand='touch ran; say 0 exited'");
    rig.plan.jobs = Some(1);
    let result = rig.plan.run(&rig.boots, &rig.bell, &Progress::silent(), &mut |_| anyhow::bail!("disk full"));
    assert_eq!(result.unwrap_err().to_string(), "disk full");
    assert!(!rig.dir.path().join("ran").exists());
}
