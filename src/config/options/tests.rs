use super::*;
use crate::config::{Size, Switch};

crate::spec! {
    struct Spec {
        /// Where it is.
        path: String,
        /// How much.
        size: Size = "1M",
        /// Whether.
        readonly: Switch = "off",
    }
}

fn parse(text: &str) -> Result<Spec> {
    Spec::parse(&Options::parse(text, Some("path"))?)
}

#[test]
fn a_bare_first_value_is_the_first_field() {
    let s = parse("a.img,readonly,size=2G").unwrap();
    assert_eq!((s.path.as_str(), s.size.0, s.readonly.0), ("a.img", 2 << 30, true));
    assert_eq!(parse("path=b,,c.img").unwrap().path, "b,c.img");
    assert_eq!(parse("/x/a=b.img").unwrap().path, "/x/a=b.img");
}

#[test]
fn errors_name_the_option() {
    let says = |text: &str| format!("{:#}", parse(text).unwrap_err());
    assert_eq!(says(""), "`path=` is missing");
    assert_eq!(says("a,readonly=maybe"), "`readonly=maybe`: want on or off");
    assert_eq!(says("a,colour=red"), "unknown option `colour`; there are: path, size, readonly");
    assert_eq!(says("a,size=1,size=2"), "`size` is given twice");
    assert!(says("a,size=many").starts_with("`size=many`: "));
}
