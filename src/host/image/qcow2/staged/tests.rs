use super::*;

#[test]
fn refcounts_are_raised_one_by_one() {
    for (order, new, old, want) in [
        (0, vec![0b1010_0000], vec![0b0110_0001], vec![0b1110_0001]),
        (1, vec![0b11_00_01_10], vec![0b10_01_10_11], vec![0b11_01_10_11]),
        (2, vec![0x1f], vec![0x2e], vec![0x2f]),
        (3, vec![1, 9], vec![2, 3], vec![2, 9]),
        (4, vec![1, 0, 0, 9], vec![0, 255, 1, 0], vec![1, 0, 1, 0]),
        (6, vec![0, 0, 0, 0, 0, 0, 1, 0], vec![0, 0, 0, 0, 0, 0, 0, 9], vec![0, 0, 0, 0, 0, 0, 1, 0]),
    ] {
        let mut block = new.clone();
        raise(&mut block, &old, order);
        assert_eq!(block, want, "order {order}");
    }
}
