use super::*;

#[test]
fn every_name_is_read_back() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse::<Kind>().unwrap(), *kind);
        let one: FailOn = kind.name().parse().unwrap();
        assert!(one.contains(*kind));
        assert_eq!(Kind::ALL.iter().filter(|k| one.contains(**k)).count(), 1);
        assert!(FailOn::ALL.contains(*kind) && !FailOn::NONE.contains(*kind));
    }
}

#[test]
fn sets() {
    assert_eq!("panic,oops".parse(), Ok(FailOn::default()));
    assert_eq!("panic, oops ".parse(), Ok(FailOn::default()));
    assert_eq!("all".parse(), Ok(FailOn::ALL));
    assert_eq!("none".parse(), Ok(FailOn::NONE));
    let but: FailOn = "all,-warning".parse().unwrap();
    assert!(!but.contains(Kind::Warning) && but.contains(Kind::Oom));
    for set in [FailOn::ALL, FailOn::NONE, FailOn::default(), "kasan,hung-task".parse().unwrap()] {
        assert_eq!(set.to_string().parse(), Ok(set));
    }
}

#[test]
fn a_wrong_name_gets_the_list() {
    for text in ["panics", "panic,,oops", "", "all,-", "Panic"] {
        let said = text.parse::<FailOn>().unwrap_err().to_string();
        assert!(said.contains("panic, oops, hard-lockup") && said.ends_with("and all, none"), "{said}");
    }
    assert!("x\ny".repeat(1000).parse::<FailOn>().unwrap_err().to_string().len() < 500);
}
