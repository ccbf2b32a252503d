//! Owns [`Part`]: seeded moments inside of what runs, on a fast machine and on a slow one.

use std::time::Duration;

use crate::Choices;

/// A part of a time that is measured where the test runs, in thousandths: what a seed means does not hang on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u32);

impl Part {
    /// A seeded part of `whole` times the time.
    pub fn drawn(choices: &mut Choices, whole: u32) -> Self {
        Self(u32::try_from(choices.below(1000 * u64::from(whole))).unwrap_or(u32::MAX))
    }

    /// The part of `time`.
    pub fn of(self, time: Duration) -> Duration {
        time * self.0 / 1000
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Part;
    use crate::Choices;

    #[test]
    fn a_seed_gives_the_same_part_of_any_time() {
        let part = Part::drawn(&mut Choices::new(7), 3);
        assert_eq!(part, Part::drawn(&mut Choices::new(7), 3));
        let (fast, slow) = (part.of(Duration::from_millis(40)), part.of(Duration::from_secs(4)));
        assert!(Duration::ZERO < fast && fast < Duration::from_millis(120), "{fast:?}");
        assert_eq!(slow, fast * 100);
    }
}
