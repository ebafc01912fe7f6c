use super::*;
use proptest::prelude::*;

fn written(kept: &Kept) -> String {
    let mut out = Vec::new();
    kept.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_short_log_is_whole() {
    let mut kept = Kept::new();
    assert!(written(&kept).is_empty());
    kept.feed(b"a\r\n\xc3\xa4");
    assert_eq!(written(&kept), "a\r\n\u{e4}");
}

#[test]
fn the_middle_is_left_out_at_line_ends() {
    let mut kept = Kept::with_limits(10, 12);
    for i in 0..10 {
        kept.feed(format!("line {i}\n").as_bytes());
    }
    // 10 bytes hold one line and a part, 12 one line and a part.
    assert_eq!(written(&kept), "line 0\n[56 bytes of the log are left out here]\nline 9\n");
}

#[test]
fn a_log_of_one_line() {
    let mut kept = Kept::with_limits(4, 4);
    kept.feed(b"0123456789");
    assert_eq!(written(&kept), "0123\n[2 bytes of the log are left out here]\n6789");
}

#[test]
fn memory_is_bounded() {
    let mut kept = Kept::new();
    for _ in 0..20 {
        kept.feed(&vec![b'x'; 1 << 20]);
        assert!(kept.head.len() <= HEAD && kept.tail.len() <= TAIL);
    }
    kept.feed(&vec![b'y'; 20 << 20]);
    assert_eq!(kept.dropped, (40 << 20) - (HEAD + TAIL) as u64);
    assert!(kept.tail.iter().all(|b| *b == b'y') && kept.tail.capacity() <= 2 * TAIL);
}

proptest! {
    #[test]
    fn nothing_is_lost_but_what_is_said(chunks in proptest::collection::vec("[a\n]{0,9}", 0..20), head in 0usize..20, tail in 0usize..20) {
        let mut kept = Kept::with_limits(head, tail);
        let all: String = chunks.concat();
        chunks.iter().for_each(|c| kept.feed(c.as_bytes()));
        let text = written(&kept);
        match text.split_once('[') {
            None => prop_assert_eq!(text, all),
            Some((before, rest)) => {
                let (count, rest) = rest.split_once(' ').unwrap();
                let after = rest.split_once("here]\n").unwrap().1;
                // A line end is added to an unfinished line before the gap.
                let added = usize::from(!all.starts_with(before));
                prop_assert!(all.starts_with(&before[..before.len() - added]) && all.ends_with(after), "{:?}", text);
                let sum = before.len() + after.len() + count.parse::<usize>().unwrap();
                prop_assert!((all.len() + added..=all.len() + 1).contains(&sum), "{:?}", text);
            }
        }
    }
}
