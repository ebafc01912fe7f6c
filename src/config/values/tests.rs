use super::*;

#[test]
fn sizes_are_powers_of_1024_and_do_not_overflow() {
    for (text, bytes) in
        [("0", 0), ("4096", 4096), ("64k", 65536), ("512M", 512 << 20), ("2GiB", 2 << 30), ("1T", 1 << 40)]
    {
        assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
    }
    for text in ["", "M", "-1", "1.5G", "4X", "99999999999T", "18446744073709551616"] {
        assert!(text.parse::<Size>().is_err(), "{text}");
    }
}

#[test]
fn macs_have_six_bytes_and_are_unicast() {
    assert_eq!("52:54:00:12:34:5f".parse::<Mac>().unwrap().to_string(), "52:54:00:12:34:5f");
    for text in
        ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "01:00:5e:00:00:01", "5254:00:12:34:56"]
    {
        assert!(text.parse::<Mac>().is_err(), "{text}");
    }
}

#[test]
fn times_have_units() {
    let ms = |text: &str| text.parse::<Period>().map(|p| p.0.as_millis());
    assert_eq!(
        (ms("30"), ms("30s"), ms("5m"), ms("1h"), ms("500ms")),
        (Ok(30000), Ok(30000), Ok(300000), Ok(3600000), Ok(500))
    );
    for text in ["", "0", "s", "-1s", "5x", "99999999999999999999h"] {
        assert!(ms(text).is_err(), "{text}");
    }
}
