use super::*;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

fn places(dir: &tempfile::TempDir) -> Places {
    Places(vec![dir.path().join("kiln")])
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn files(places: &Places) -> Vec<String> {
    places.all().unwrap().into_iter().map(|place| place.name).collect()
}

fn why<T>(result: Result<T>) -> String {
    format!("{:#}", result.map(drop).unwrap_err())
}

#[test]
fn a_machine_is_found_by_its_name_and_its_process_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    assert!(why(places.find("web")).contains("none is"), "no directory, no machine");
    let (_listener, held) = places.bind(Some("web")).unwrap();
    assert_eq!(held.0.path.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(held.0.path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(places.find("web").unwrap().1, held.0);
    assert_eq!(places.find(&std::process::id().to_string()).unwrap().1, held.0);
    assert_eq!(places.names(), ["web"]);
    let text = why(places.find("wbe"));
    assert!(text.contains("`wbe`") && text.contains("web"), "{text}");
    assert!(places.find("1").is_err());
    drop(held);
    assert!(files(&places).is_empty(), "the socket goes with its machine");
}

#[test]
fn without_a_name_it_is_called_by_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    let (_listener, held) = places.bind(None).unwrap();
    assert_eq!(held.0.name, std::process::id().to_string());
    assert_eq!(places.find(&held.0.name).unwrap().1, held.0);
}

#[test]
fn a_name_is_given_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    let first = places.bind(Some("web")).unwrap();
    let text = why(places.bind(Some("web")));
    assert!(text.contains("choose another"), "{text}");
    assert!(places.find("web").is_ok(), "who came second took nothing away");
    drop(first);
    places.bind(Some("web")).unwrap();
}

#[test]
fn what_a_killed_machine_left_behind_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    let left = |name| {
        let (listener, held) = places.bind(Some(name)).unwrap();
        std::mem::forget(held);
        drop(listener);
    };
    left("old");
    assert_eq!(files(&places), ["old"]);
    assert!(places.names().is_empty());
    assert!(files(&places).is_empty(), "whoever met it has removed it");
    left("old");
    let (_listener, _held) = places.bind(Some("old")).unwrap();
    assert!(places.find("old").is_ok());
}

#[test]
fn a_directory_that_others_may_have_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    let kiln = dir.path().join("kiln");
    std::fs::create_dir(&kiln).unwrap();
    for mode in [0o755, 0o777, 0o701, 0o710] {
        set_mode(&kiln, mode);
        for text in [why(places.bind(Some("a"))), why(places.all())] {
            assert!(text.contains("others may use it"), "{mode:o}: {text}");
        }
    }
    std::fs::remove_dir(&kiln).unwrap();
    std::os::unix::fs::symlink("/tmp", &kiln).unwrap();
    let text = why(places.bind(None));
    assert!(text.contains("no directory"), "a link leads elsewhere: {text}");
}

#[test]
fn other_files_are_no_machines_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    drop(places.bind(Some("a")).unwrap());
    let path = dir.path().join("kiln/b.sock");
    std::fs::write(&path, "mine").unwrap();
    std::fs::write(dir.path().join("kiln/notes"), "mine").unwrap();
    assert!(files(&places).is_empty());
    // Connecting to what is no socket is refused, as to a socket that nobody listens on.
    assert!(places.find("b").is_err());
    assert!(places.bind(Some("b")).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn names_are_words() {
    for good in ["a", "web-1", "Debian_12.qcow2", &"x".repeat(64)] {
        assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
    }
    for bad in ["", "1", "12a", "-a", ".a", "a/b", "../a", "a b", "a\n", "ä", "a\0", &"x".repeat(65)] {
        assert!(bad.parse::<Name>().is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_name_never_leads_out_of_its_directory(text in ".*") {
        if let Ok(name) = text.parse::<Name>() {
            let path = Path::new("/d").join(format!("{name}.sock"));
            prop_assert_eq!(path.parent(), Some(Path::new("/d")));
            prop_assert_eq!(path.components().count(), 3);
        }
    }

    #[test]
    fn whatever_is_looked_for_gets_an_answer(text in ".*") {
        let dir = tempfile::tempdir().unwrap();
        prop_assert!(places(&dir).find(&text).is_err());
    }
}
