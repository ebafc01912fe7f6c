use super::*;

const LEN: u64 = 64 << 10;

#[test]
fn it_is_stored_to_though_it_is_protected() {
    let video = Video::new(LEN).unwrap();
    video.protect(true).unwrap();
    video.write(4094, &[1, 2, 3, 4]);
    let mut bytes = [9; 6];
    assert_eq!(video.read(4093, &mut bytes), 6);
    assert_eq!(bytes, [0, 1, 2, 3, 4, 0]);
    video.protect(false).unwrap();
    video.clear().unwrap();
    assert_eq!(video.read(4093, &mut bytes), 6);
    assert_eq!(bytes, [0; 6]);
}

#[test]
fn nothing_lies_beyond_its_end() {
    let video = Video::new(LEN).unwrap();
    let mut bytes = [9; 8];
    video.write(LEN - 2, &[5; 8]);
    assert_eq!(video.read(LEN - 3, &mut bytes), 3);
    assert_eq!(bytes, [0, 5, 5, 9, 9, 9, 9, 9]);
    for at in [LEN, LEN + 1, u64::MAX] {
        video.write(at, &[5; 8]);
        assert_eq!(video.read(at, &mut bytes), 0);
    }
}

#[test]
fn the_guest_sees_it_where_it_is_put() {
    let video = Video::new(LEN).unwrap();
    let region = video.region(0xc000_0000);
    assert_eq!((region.base, region.len), (0xc000_0000, LEN));
}
