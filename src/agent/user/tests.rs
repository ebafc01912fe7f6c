use super::*;
use proptest::prelude::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# no user\nada:x:1000:1001:Ada,,,:/home/ada:\n42:x:7:7::/:/bin/sh\nbad:x:no:1::\n";
const GROUP: &[u8] = b"root:x:0:\nkvm:x:104:ada,root\nada:x:1001:\ndialout:x:20:bob,ada\nadam:x:30:adam\n";

fn found(who: &str) -> Result<User, String> {
    find(OsStr::new(who), PASSWD, GROUP)
}

#[test]
fn a_name_has_its_groups_home_and_shell() {
    let ada = found("ada").unwrap();
    assert_eq!(ada.identity, Identity { user: 1000, group: 1001, others: vec![104, 20] });
    assert_eq!((ada.home, ada.shell), ("/home/ada".into(), "/bin/sh".into()));
    assert_eq!(found("root").unwrap().shell, "/bin/bash");
}

#[test]
fn a_number_is_a_user_with_or_without_a_name() {
    assert_eq!(found("1000").unwrap(), found("ada").unwrap());
    let nobody = found("4711").unwrap();
    assert_eq!(nobody.identity, Identity { user: 4711, group: 4711, others: vec![] });
    assert_eq!(nobody.home, "/");
    // A name of digits is a name first.
    assert_eq!(found("42").unwrap().identity.user, 7);
}

#[test]
fn a_group_can_be_named() {
    assert_eq!(found("ada:kvm").unwrap().identity.group, 104);
    assert_eq!(found("0:20").unwrap().identity.group, 20);
    assert_eq!(found("0:12345").unwrap().identity.group, 12345);
    assert!(found("ada:wheel").unwrap_err().contains("wheel"));
}

#[test]
fn who_is_not_there_is_not_somebody_else() {
    for who in ["", "eve", "ad", "-1", "4294967295", "+5", "bad", "# no user", "99999999999"] {
        assert!(found(who).is_err(), "{who}");
    }
}

proptest! {
    #[test]
    fn any_files_are_read_without_harm(passwd in "[a-z0-9:\n,]{0,200}", group in "[a-z0-9:\n,]{0,200}", who in "[a-z0-9:]{0,6}") {
        let _ = find(OsStr::new(&who), passwd.as_bytes(), group.as_bytes());
    }
}
