//! Owns time as it is handed in: the program gives a wall clock, everything else counts from there.

use std::time::Instant;

use jiff::Timestamp;

use crate::machine::Millis;

/// The wall clock of the program.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: fn() -> Timestamp,
}

impl Clock {
    /// Takes the program's clock.
    pub fn new(wall: fn() -> Timestamp) -> Self {
        Self { wall }
    }

    /// Now, RFC 3339 in UTC with microseconds.
    pub fn text(self) -> String {
        text((self.wall)())
    }

    /// Now, RFC 3339 in UTC to the second.
    pub fn second(self) -> String {
        (self.wall)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> Millis {
        u64::try_from((self.wall)().as_millisecond()).unwrap_or(0)
    }

    /// Starts a clock that shows the same time now and never goes back.
    pub fn steady(self) -> Steady {
        Steady {
            base: self.millis(),
            start: Instant::now(),
        }
    }
}

/// Milliseconds since 1970 that only grow, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    base: Millis,
    start: Instant,
}

impl Steady {
    /// Now.
    pub fn now(&self) -> Millis {
        self.base + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - self.base)
    }
}

fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Shows milliseconds since 1970 as RFC 3339 in UTC.
pub fn show(at: Millis) -> String {
    let at = i64::try_from(at)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_shown_in_utc_with_a_fixed_width() {
        assert_eq!(super::show(1_500), "1970-01-01T00:00:01.500Z");
        let fixed = super::Clock::new(|| jiff::Timestamp::from_microsecond(1_000_001).expect("in range"));
        assert_eq!(fixed.text(), "1970-01-01T00:00:01.000001Z");
    }
}
