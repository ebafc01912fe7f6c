//! What is encoded is what is decoded.

use super::super::encode::{Encoder, Kind, Wish, cut};
use super::super::pixel::Format;
use super::client::Decoder;
use crate::host::screen::{Rect, Size};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Case {
    width: u32,
    height: u32,
    colours: Vec<u32>,
    /// Which colour, for how many pixels.
    runs: Vec<(u16, u16)>,
    /// Rows that are alike, one below the other.
    alike: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let colours = prop_oneof![
        prop::collection::vec(0u32..0x100_0000, 1..6),
        prop::collection::vec(0u32..0x100_0000, 1..140),
        prop::collection::vec(0u32..0x100_0000, 250..600),
    ];
    let length = prop_oneof![Just(1u16), 1u16..4, 1u16..2000];
    let runs = prop::collection::vec((any::<u16>(), length), 1..3000);
    let parts = (1u32..200, 1u32..70, colours, runs, 1u32..5);
    parts.prop_map(|(width, height, colours, runs, alike)| Case { width, height, colours, runs, alike })
}

fn pixels(case: &Case) -> Vec<u32> {
    let runs = case.runs.iter().cycle();
    let colours = runs.flat_map(|(n, len)| std::iter::repeat_n(case.colours[usize::from(*n) % case.colours.len()], usize::from(*len)));
    let all: Vec<u32> = colours.take((case.width * case.height) as usize).collect();
    let rows = (0..case.height).map(|y| (y / case.alike * case.width) as usize);
    rows.flat_map(|start| &all[start..start + case.width as usize]).copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_is_lost(cases in prop::collection::vec(case(), 1..4), kind in 0..3usize, level in 0u32..12, many: bool, hasty: bool) {
        let kind = [Kind::Raw, Kind::Zrle, Kind::Tight][kind];
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        encoder.set_format(Format::OWN);
        for (n, case) in cases.iter().enumerate() {
            let wish = Wish { kind, level: (level + n as u32) % 10, many, hasty };
            let original = pixels(case);
            let rect = Rect { x: 5, y: 3, width: case.width, height: case.height };
            let mut out = Vec::new();
            encoder.put(wish, rect, &mut original.clone(), &mut out);
            let mut from = &out[..];
            let (mut canvas, mut count) = (vec![u32::MAX; original.len()], 0);
            while !from.is_empty() {
                let (head, rest) = from.split_at(12);
                from = rest;
                let part = |n: usize| u32::from(u16::from_be_bytes([head[n], head[n + 1]]));
                let part = Rect { x: part(0) - 5, y: part(2) - 3, width: part(4), height: part(6) };
                let encoding = i32::from_be_bytes(head[8..].try_into().unwrap());
                let got = decoder.rect(part, encoding, &mut from);
                for (row, got) in got.chunks(part.width as usize).enumerate() {
                    let at = (part.y as usize + row) * case.width as usize + part.x as usize;
                    canvas[at..at + got.len()].copy_from_slice(got);
                }
                count += 1;
            }
            prop_assert!(canvas == original);
            prop_assert!(many || count == 1);
        }
    }

    #[test]
    fn pieces_cover_all_of_it_once(x in 0u32..100, y in 0u32..100, width in 1u32..5000, height in 1u32..200, kind in 0..3usize, many: bool) {
        let wish = Wish { kind: [Kind::Raw, Kind::Zrle, Kind::Tight][kind], many, ..Wish::default() };
        let pieces = cut(wish, &[Rect { x, y, width, height }]);
        prop_assert_eq!(pieces.iter().map(|p| p.width * p.height).sum::<u32>(), width * height);
        for (n, piece) in pieces.iter().enumerate() {
            prop_assert!(piece.width * piece.height <= 1 << 17);
            prop_assert!(piece.x >= x && piece.x + piece.width <= x + width && piece.y + piece.height <= y + height);
            let size = Size { width: 16384, height: 16384 };
            let (mut inside, mut outside) = (Vec::new(), Vec::new());
            pieces.iter().skip(n + 1).for_each(|other| other.split(*piece, &mut inside, &mut outside));
            prop_assert!(inside.is_empty() && piece.within(size) == Some(*piece));
        }
    }
}
