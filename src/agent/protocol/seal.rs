//! The seal on the last frame: who does not know the key of this session, which only kiln and its agent do, cannot say
//! how the command ended. SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012).

/// Made anew for each session, by the host.
pub type Key = [u8; 16];

/// SipHash-2-4 of `data`.
pub fn seal(key: &Key, data: &[u8]) -> u64 {
    let half = |at: usize| key.iter().skip(at).take(8).rev().fold(0u64, |word, b| word << 8 | u64::from(*b));
    let (k0, k1) = (half(0), half(8));
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    // The last word: what is left, zeroes, and the length in the top byte.
    let last = rest.iter().rev().fold(0u64, |word, b| word << 8 | u64::from(*b));
    state.absorb(last | (data.len() as u64) << 56);
    state.0[2] ^= 0xff;
    (0..4).for_each(|_| state.round());
    state.0.into_iter().fold(0, |all, v| all ^ v)
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the paper's appendix A, and two of the authors' reference implementation.
    #[test]
    fn agrees_with_the_paper() {
        let key: Key = std::array::from_fn(|i| i as u8);
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(seal(&key, &data), 0xa129_ca61_49be_45e5);
        assert_eq!(seal(&key, &[]), u64::from_le_bytes([0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]));
        assert_eq!(seal(&key, &[0]), u64::from_le_bytes([0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]));
    }
}
