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
    assert!(arguments(true).len() < 512);
    assert!(arguments(false).starts_with("console=ttyS0 ") && !arguments(false).contains("initcall"));
    assert_eq!(arguments(true), arguments(false) + " initcall_debug");
}
