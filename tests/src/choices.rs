//! Owns [`Choices`]: what is random in a test, and the same each time.

/// A generator of choices that follows from a seed alone.
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// Begins at `seed`; the same seed gives the same choices.
    pub fn new(seed: u64) -> Self {
        let mut choices = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Neighbouring seeds begin alike.
        for _ in 0..8 {
            choices.next();
        }
        choices
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}
