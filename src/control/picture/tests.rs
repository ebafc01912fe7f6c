use super::*;
use proptest::prelude::*;

const SIZE: Size = Size { width: 3, height: 2 };
const PIXELS: [u32; 6] = [0, 0xff0000, 0x00ff00, 0x0000ff, 0x123456, 0xffffff];

fn picture() -> Picture {
    Picture { size: SIZE, pixels: PIXELS.to_vec() }
}

/// A PNG of another kind than ours.
fn other(color: ColorType, depth: BitDepth, palette: &[u8], trns: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 2, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    if !trns.is_empty() {
        encoder.set_trns(trns.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

fn why(file: &[u8]) -> String {
    format!("{:#}", Reference::parse(file, 0.0).map(drop).unwrap_err())
}

#[test]
fn a_picture_of_the_screen_is_what_the_screen_shows() {
    let reference = Reference::parse(&png(&picture()).unwrap(), 0.0).unwrap();
    assert_eq!(reference.pixels, PIXELS.map(Some));
    assert_eq!(reference.difference(SIZE, &PIXELS), Some(0.0));
    assert!(reference.allows(Some(0.0)) && !reference.allows(None));
}

#[test]
fn as_many_pixels_may_differ_as_the_tolerance_says() {
    let reference = Reference::parse(&png(&picture()).unwrap(), 17.0).unwrap();
    let mut pixels = PIXELS;
    pixels[0] = 1;
    let one = reference.difference(SIZE, &pixels);
    assert!((one.unwrap() - 100.0 / 6.0).abs() < 1e-9 && reference.allows(one));
    pixels[5] = 0;
    assert!(!reference.allows(reference.difference(SIZE, &pixels)));
    let turned = Size { width: 2, height: 3 };
    assert_eq!(reference.difference(turned, &PIXELS), None, "another shape is another picture");
    assert_eq!(reference.difference(SIZE, &PIXELS[..5]), None);
}

#[test]
fn what_is_transparent_does_not_count() {
    let file = other(ColorType::Rgba, BitDepth::Eight, &[], &[], &[1, 2, 3, 255, 9, 9, 9, 254]);
    let reference = Reference::parse(&file, 0.0).unwrap();
    let size = Size { width: 2, height: 1 };
    assert_eq!(reference.difference(size, &[0x010203, 0xabcdef]), Some(0.0));
    assert_eq!(reference.difference(size, &[0x010204, 0x090909]), Some(100.0), "of those that count");
    let file = other(ColorType::Rgba, BitDepth::Eight, &[], &[], &[0; 8]);
    assert!(why(&file).contains("transparent"));
}

#[test]
fn any_kind_of_png_will_do() {
    let red_and_white = [Some(0xff0000), Some(0xffffff)];
    for (file, expected) in [
        (other(ColorType::Indexed, BitDepth::One, &[255, 0, 0, 255, 255, 255], &[], &[0b0100_0000]), red_and_white),
        (
            other(ColorType::Indexed, BitDepth::One, &[255, 0, 0, 255, 255, 255], &[255, 0], &[0x40]),
            [Some(0xff0000), None],
        ),
        (other(ColorType::Grayscale, BitDepth::Eight, &[], &[], &[7, 8]), [Some(0x070707), Some(0x080808)]),
        (other(ColorType::GrayscaleAlpha, BitDepth::Eight, &[], &[], &[7, 255, 8, 0]), [Some(0x070707), None]),
        (
            other(ColorType::Rgb, BitDepth::Sixteen, &[], &[], &[255, 0, 0, 0, 0, 0, 255, 1, 255, 2, 255, 3]),
            red_and_white,
        ),
    ] {
        assert_eq!(Reference::parse(&file, 0.0).unwrap().pixels, expected);
    }
}

#[test]
fn what_cannot_be_expected_is_refused() {
    let good = png(&picture()).unwrap();
    assert!(why(b"").contains("no PNG") && why(b"GIF89a").contains("no PNG"));
    assert!(why(&good[..good.len() / 2]).contains("no PNG"));
    for tolerance in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert!(Reference::parse(&good, tolerance).is_err());
    }
    // The header alone says how large it is: width at 16, height at 20, and the checksum behind is not right any more.
    let mut file = Vec::new();
    let encoder = Encoder::new(&mut file, 100_000, 100_000);
    drop(encoder.write_header());
    assert!(!why(&file).is_empty());
}

proptest! {
    #[test]
    fn nothing_that_is_sent_as_a_picture_does_harm(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Reference::parse(&noise, 0.0).is_err());
    }

    #[test]
    fn nor_does_a_damaged_one(at in 0usize..1000, byte: u8) {
        let mut file = png(&picture()).unwrap();
        let at = at % file.len();
        file[at] = byte;
        if let Ok(reference) = Reference::parse(&file, 0.0) {
            prop_assert!(reference.size.pixels() == reference.pixels.len());
        }
    }
}
