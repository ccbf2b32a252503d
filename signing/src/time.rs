//! Owns [`UtcTime`]: the one form in which signed documents state a time. This crate never asks what time it is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// A UTC time of whole seconds, `YYYY-MM-DDTHH:MM:SSZ`, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime([u8; 20]);

/// The text is no time in the one form that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no time, expected the form `2026-11-20T19:30:00Z`", .0.escape_debug())]
pub struct TimeError(String);

impl UtcTime {
    /// The 20 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only digits and punctuation are stored")
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(&self) -> i64 {
        let [year, month, day, hour, minute, second] = self.fields();
        // Years start in March, so that the leap day is the last of its year (proleptic Gregorian calendar).
        let year = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
        (days - DAYS_TO_1970) * 86_400 + hour * 3600 + minute * 60 + second
    }

    fn fields(&self) -> [i64; 6] {
        [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].map(|range| {
            self.0[range]
                .iter()
                .fold(0, |n, digit| n * 10 + i64::from(digit - b'0'))
        })
    }

    fn is_real(&self) -> bool {
        let [year, month, day, hour, minute, second] = self.fields();
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (1..=12).contains(&month) && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60
    }
}

impl FromStr for UtcTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let err = || TimeError(text.chars().take(40).collect());
        let bytes: [u8; 20] = text.as_bytes().try_into().map_err(|_| err())?;
        let shape = bytes.iter().zip(b"0000-00-00T00:00:00Z");
        let fits = |(got, want): (&u8, &u8)| {
            if *want == b'0' {
                got.is_ascii_digit()
            } else {
                got == want
            }
        };
        let time = Self(bytes);
        if shape.into_iter().all(fits) && time.is_real() {
            Ok(time)
        } else {
            Err(err())
        }
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::UtcTime;

    #[test]
    fn seconds_agree_with_the_calendar_and_impossible_times_are_refused() {
        // Second values by `date -u -d TIME +%s`.
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-20T19:30:00Z", 1_795_203_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(text.parse::<UtcTime>().unwrap().unix_seconds(), seconds, "{text}");
        }
        for bad in [
            "",
            "2026-11-20T19:30:00+00:00",
            "2026-11-20 19:30:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:0é",
        ] {
            assert!(bad.parse::<UtcTime>().is_err(), "`{bad}` must be refused");
        }
    }
}
