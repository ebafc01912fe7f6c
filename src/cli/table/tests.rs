use super::*;
use proptest::prelude::*;

fn rows(texts: &[&[&str]]) -> Vec<Vec<Cell>> {
    texts.iter().map(|row| row.iter().map(|t| Cell::new(t, Colour::Green)).collect()).collect()
}

const PLAIN: Style = Style { width: None, colours: false };

#[test]
fn columns_are_aligned_and_the_last_is_broken_to_fit() {
    let rows = rows(&[&["ok", "clock", "is good enough for anyone"], &["warn", "é", "x"]]);
    assert_eq!(table(&rows, PLAIN), "ok    clock  is good enough for anyone\nwarn  é      x\n");
    let narrow = Style { width: Some(30), ..PLAIN };
    let pad = " ".repeat(13);
    assert_eq!(table(&rows, narrow), format!("ok    clock  is good enough\n{pad}for anyone\nwarn  é      x\n"));
}

#[test]
fn colours_only_when_asked_for() {
    let rows = rows(&[&["ok", "a"]]);
    assert_eq!(table(&rows, PLAIN), "ok  a\n");
    assert_eq!(table(&rows, Style { colours: true, ..PLAIN }), "\x1b[32mok\x1b[0m  \x1b[32ma\x1b[0m\n");
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_word_is_lost(words in prop::collection::vec("[a-z]{1,12}", 0..30), width in 31usize..100) {
        let text = words.join(" ");
        let drawn = table(&rows(&[&["mark", "a title", &text]]), Style { width: Some(width), colours: false });
        prop_assert!(drawn.lines().all(|l| l.chars().count() <= width), "{} in {}", drawn, width);
        let expected: Vec<_> = ["mark", "a", "title"].into_iter().chain(words.iter().map(String::as_str)).collect();
        prop_assert_eq!(drawn.split_whitespace().collect::<Vec<_>>(), expected);
    }
}
