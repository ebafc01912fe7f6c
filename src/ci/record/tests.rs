use super::*;
use proptest::prelude::*;

fn joined(portions: &[&[u8]]) -> Vec<(u64, bool, Vec<u8>)> {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    let mut each = |at: Duration, p: Piece<'_>| {
        seen.push((at.as_secs(), p.continues, p.bytes.to_vec()));
        Ok(())
    };
    for (n, portion) in portions.iter().enumerate() {
        lines.feed(Duration::from_secs(n as u64), portion, &mut each).unwrap();
    }
    lines.finish(&mut each).unwrap();
    seen
}

#[test]
fn a_line_has_the_time_of_its_first_byte() {
    let seen = joined(&[b"one\r\ntw", b"o", b"\n\nrest"]);
    let want: [(u64, bool, &[u8]); 4] = [(0, false, b"one"), (0, false, b"two"), (2, false, b""), (2, false, b"rest")];
    assert_eq!(seen, want.map(|(at, c, b)| (at, c, b.to_vec())));
}

#[test]
fn a_long_line_comes_in_pieces() {
    let long = vec![b'x'; 2 * LONGEST];
    let seen = joined(&[&long, b"\nnext\n"]);
    let lens: Vec<_> = seen.iter().map(|(_, c, b)| (*c, b.len())).collect();
    assert_eq!(lens, [(false, LONGEST), (true, LONGEST), (false, 4)]);
}

proptest! {
    #[test]
    fn how_it_is_cut_makes_no_difference(text in "[ab\n]{0,60}", cuts in proptest::collection::vec(0..60usize, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let portions: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
        let lines: Vec<Vec<u8>> = joined(&portions).into_iter().map(|(_, _, b)| b).collect();
        let want: Vec<Vec<u8>> = text.lines().map(|l| l.as_bytes().to_vec()).collect();
        prop_assert_eq!(lines, want);
    }
}

#[test]
fn a_flood_fills_the_log_up_to_its_size_and_the_end_is_still_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut record = Record::limited(&path, 1000).unwrap();
    for n in 0..100_000 {
        let text = format!("line {n}\x1b[0m");
        record
            .line(Duration::from_millis(1500), Stream::Out, Piece { bytes: text.as_bytes(), continues: n == 1 })
            .unwrap();
    }
    record.note(Duration::from_secs(2), "ended").unwrap();
    record.flush().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "    1.500 out  line 0");
    assert_eq!(lines[1], "    1.500 out+ line 1");
    assert!(text.len() < 1200, "{}", text.len());
    assert!(lines[lines.len() - 2].ends_with("the log is full: what follows is not written"), "{text}");
    assert_eq!(lines[lines.len() - 1], "    2.000 ci   ended");
    let tail = record.into_tail();
    assert_eq!((tail.len(), tail[0].as_str(), tail[TAIL - 1].as_str()), (TAIL, "line 99960", "line 99999"));
}
