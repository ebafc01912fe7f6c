use super::*;
use crate::ci::tests::Rig;

fn places(rig: &Rig) -> Places {
    Places { log: rig.dir.path().join("log"), result: rig.dir.path().join("result") }
}

fn heard(line: &str) -> (Seen, String) {
    let rig = Rig::new(&format!("[tests.t]\ncommand='''{line}'''"));
    let places = places(&rig);
    let seen = attempt(&rig.plan.launcher, &rig.boots[0], &places, &rig.bell, &|_| {}).unwrap();
    assert!(!places.result.exists());
    (seen, std::fs::read_to_string(places.log).unwrap())
}

/// The log without its times.
fn untimed(log: &str) -> Vec<&str> {
    log.lines().map(|l| l.get(10..).unwrap()).collect()
}

#[test]
fn the_log_has_all_streams_and_how_it_ended() {
    let (seen, log) = heard("echo one; echo two >&2; echo three >$klog; printf four; say 7 exited");
    let lines = untimed(&log);
    assert!(lines[0].starts_with("ci   kiln exec --cpus 1 "), "{log}");
    for line in ["out  one", "err  two", "log  three", "out  four"] {
        assert!(lines.contains(&line), "{line}: {log}");
    }
    assert_eq!(lines.last(), Some(&"ci   ended: exited, status 7"));
    assert!(matches!(&seen.end, End::Told(told) if told.status == 7 && told.release.as_deref() == Some("6.1.0")));
    assert!(seen.tail.contains(&"three".to_string()));
}

#[test]
fn an_old_result_is_not_taken_for_the_new_one() {
    let rig = Rig::new("[tests.t]\ncommand='exit 0'");
    let places = places(&rig);
    std::fs::write(&places.result, r#"{"status":0,"ended":"exited"}"#).unwrap();
    let seen = attempt(&rig.plan.launcher, &rig.boots[0], &places, &rig.bell, &|_| {}).unwrap();
    assert!(matches!(seen.end, End::Broken(_)), "{:?}", seen.end);
}

#[test]
fn somebody_who_keeps_the_pipes_open_keeps_nobody_waiting() {
    let (seen, _) = heard("sleep 30 & echo x; say 0 exited");
    assert!(matches!(seen.end, End::Told(_)), "{:?}", seen.end);
}

#[test]
fn the_bell_ends_the_guest() {
    let rig = Rig::new("[tests.t]\ncommand='echo $$; exec sleep 1000'");
    let places = places(&rig);
    // The guest has begun when it is heard.
    let ring = |_: &str| drop(rig.bell.write(1));
    let seen = attempt(&rig.plan.launcher, &rig.boots[0], &places, &rig.bell, &ring).unwrap();
    assert!(matches!(seen.end, End::Interrupted), "{:?}", seen.end);
    let process = seen.tail.iter().find(|l| !l.is_empty() && l.chars().all(|c| c.is_ascii_digit())).unwrap();
    assert!(!Path::new("/proc").join(process).exists());
}

#[test]
fn what_cannot_be_started_or_written_is_an_error() {
    let mut rig = Rig::new("[tests.t]\ncommand='x'");
    let gone = Places { log: rig.dir.path().join("no/log"), result: rig.dir.path().join("result") };
    let try_it = |rig: &Rig, p: &Places| attempt(&rig.plan.launcher, &rig.boots[0], p, &rig.bell, &|_| {}).unwrap_err();
    assert!(format!("{:#}", try_it(&rig, &gone)).contains("no/log: No such file"));
    rig.plan.launcher.program = "/nothing".into();
    assert_eq!(format!("{:#}", try_it(&rig, &places(&rig))), "start /nothing: No such file or directory (os error 2)");
}
