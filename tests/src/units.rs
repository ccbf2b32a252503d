//! Owns how the demo and the suites write sizes and times.

use std::time::Duration;

/// `18 MB` style, decimal, three significant digits; the unit is always there.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB"];
    let mut value = bytes;
    let mut rest = 0;
    let mut unit = "B";
    for next in units {
        if value < 1000 {
            break;
        }
        (rest, value, unit) = (value % 1000, value / 1000, next);
    }
    match (unit, value) {
        ("B", _) | (_, 100..) => format!("{value} {unit}"),
        (_, 10..) => format!("{value}.{} {unit}", rest / 100),
        _ => format!("{value}.{:02} {unit}", rest / 10),
    }
}

/// `12 ms`, `3.4 s`, `2 min 5 s`.
pub fn time(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms @ 1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        ms => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{size, time};

    #[test]
    fn sizes_and_times_are_short_and_have_a_unit() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1_999, "1.99 kB"),
            (36_400_000, "36.4 MB"),
            (5_120_000_000, "5.12 GB"),
            (123_456_789_000, "123 GB"),
            (5_000_000_000_000, "5000 GB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        for (ms, text) in [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (125_000, "2 min 5 s")] {
            assert_eq!(time(Duration::from_millis(ms)), text);
        }
    }
}
