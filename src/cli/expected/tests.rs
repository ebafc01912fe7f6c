use super::*;

#[test]
fn a_tolerance_may_follow_the_name() {
    for (text, expected) in [
        ("a.png", ("a.png", 0.0)),
        ("a.png,2", ("a.png", 2.0)),
        ("a.png,0.25", ("a.png", 0.25)),
        ("a.png,3%", ("a.png", 3.0)),
        ("a,b.png", ("a,b.png", 0.0)),
        ("a,b.png,1", ("a,b.png", 1.0)),
        ("a.png,-1", ("a.png", -1.0)),
        (",", (",", 0.0)),
    ] {
        assert_eq!(split(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ref.png");
    std::fs::write(&path, "a picture, honestly").unwrap();
    let name = path.to_str().unwrap();
    for (text, part) in [(name, "no PNG"), (&format!("{name},101"), "101"), ("/nowhere/ref.png", "No such file")] {
        let why = format!("{:#}", open(text).map(drop).unwrap_err());
        assert!(why.contains(part) && why.contains("ref.png") | why.contains("101"), "{why}");
    }
}
