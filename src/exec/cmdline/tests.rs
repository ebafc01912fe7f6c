use super::*;

#[test]
fn every_argument_is_one_word_with_a_reason_and_said_once() {
    let mut seen = std::collections::HashSet::new();
    for (word, reason) in ARGUMENTS {
        assert!(!word.contains(char::is_whitespace) && !reason.is_empty(), "{word}");
        assert!(seen.insert(word), "{word} is there twice");
    }
}

#[test]
fn there_is_room_for_what_the_user_adds() {
    // COMMAND_LINE_SIZE is 2048.
    assert!(arguments(true, true).len() < 512);
    assert!(arguments(false, false).starts_with("console=ttyS0 ") && !arguments(false, false).contains("initcall"));
    assert_eq!(arguments(true, false), arguments(false, false) + " initcall_debug loglevel=8");
    assert_eq!(arguments(true, true), arguments(false, false) + " initcall_debug quiet log_buf_len=2M");
}
