use super::*;

fn check(mark: Mark, detail: &str, needed: Needed) -> Check {
    Check::new("key", "title", mark, detail, json!(7)).needed(needed)
}

#[test]
fn the_verdict_follows_from_the_failures() {
    let linux = check(Mark::Fail, "SYSCALL stays in ring 3", Needed::ByLinux);
    let guests = check(Mark::Fail, "no /dev/kvm", Needed::ByGuests);
    let fine = [check(Mark::Ok, "", Needed::ByGuests), check(Mark::Warn, "", Needed::ByLinux)];
    let report = |more: &[Check]| Report([&fine, more].concat());
    let cases = [
        (report(&[]), true, true, "stock Linux."),
        (report(std::slice::from_ref(&linux)), true, false, "but no stock Linux: SYSCALL stays in ring 3."),
        (report(std::slice::from_ref(&guests)), false, false, "no guests: no /dev/kvm."),
        (report(&[linux, guests]), false, false, "no guests: no /dev/kvm."),
    ];
    for (report, guests, linux, words) in cases {
        assert_eq!((report.runs_guests(), report.runs_linux()), (guests, linux), "{words}");
        assert!(report.verdict().ends_with(words), "{}", report.verdict());
        let json = report.json();
        assert_eq!((json["guests"].as_bool(), json["linux"].as_bool()), (Some(guests), Some(linux)));
        assert_eq!(json["verdict"], report.verdict());
    }
}

#[test]
fn a_check_keeps_its_names_in_json() {
    let json = Report(vec![check(Mark::Warn, "so so", Needed::ByLinux)]).json();
    assert_eq!(json["checks"]["key"], json!({ "mark": "warn", "title": "title", "detail": "so so", "value": 7 }));
}
