//! A generator of numbers that look random and repeat with their seed: xoshiro256** by Blackman and Vigna,
//! seeded through SplitMix64 (<https://prng.di.unimi.it>, public domain).

/// The generator's state.
#[derive(Clone, Debug)]
pub struct Generator([u64; 4]);

impl Generator {
    /// The generator that begins with `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Generator {
        let mut state = [0; 4];
        let mut counter = seed;
        let mut index = 0;
        while index < state.len() {
            counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = counter;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            state[index] = word ^ (word >> 31);
            index += 1;
        }
        Generator(state)
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Makes `word` part of the state.
    pub fn stir(&mut self, word: u64) {
        let mixed = self.number() ^ word;
        *self = Generator::new(mixed);
    }
}
