use super::*;

#[test]
fn there_is_one_and_the_error_says_who_has_it() {
    *OWNER.lock() = Some("ttyS0".to_string());
    let notify: Notify = Arc::new(|_| {});
    let error = open("console0", &notify).err().unwrap().to_string();
    assert_eq!(error, "console0 cannot have stdio: ttyS0 has it; give one of them another stream");
    // The one who has it does not change.
    assert!(open("ttyS1", &notify).err().unwrap().to_string().contains("ttyS0 has it"));
}
