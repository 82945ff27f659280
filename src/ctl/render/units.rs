//! Quantities as people read them: one unit, no more digits than anybody uses.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A size: `512 B`, `1.2 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be rounded to 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A time that something takes: `412 ms`, `4.2 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn span(time: Duration) -> String {
    let (seconds, milliseconds) = (time.as_secs(), time.as_millis());
    match seconds {
        0 if time.subsec_micros() > 0 && milliseconds < 10 => {
            format!("{:.1} ms", time.as_secs_f64() * 1000.0)
        }
        0 => format!("{milliseconds} ms"),
        1..MINUTE if time.subsec_millis() < 50 => format!("{seconds} s"),
        // Cut, not rounded: 59.96 s are no "60.0 s".
        1..MINUTE => format!("{seconds}.{} s", time.subsec_millis() / 100),
        MINUTE..HOUR => two(seconds / MINUTE, "min", seconds % MINUTE, "s"),
        HOUR..DAY => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
        _ => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
    }
}

/// How many milliseconds, as [`span`].
pub(crate) fn span_ms(milliseconds: u64) -> String {
    span(Duration::from_millis(milliseconds))
}

/// How long ago: `3 minutes ago`.
pub(crate) fn ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".to_owned(),
        _ => format!("{} ago", age(seconds)),
    }
}

/// How long something has been: `3 minutes`.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..MINUTE => count(seconds, "second"),
        MINUTE..HOUR => count(seconds / MINUTE, "minute"),
        HOUR..DAY => count(seconds / HOUR, "hour"),
        _ => count(seconds / DAY, "day"),
    }
}

/// Air used in the last hour, and of how much: `4.2 s of 36 s`.
pub(crate) fn airtime(used_ms: u64, left_ms: Option<u64>) -> String {
    match left_ms {
        None => span_ms(used_ms),
        Some(0) => format!("{}, none left", span_ms(used_ms)),
        Some(left) => format!("{} of {}", span_ms(used_ms), span_ms(used_ms.saturating_add(left))),
    }
}

/// A number of things: `1 peer`, `2 peers`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (5 << 30, "5.0 GiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn spans() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (9, "9.0 ms"),
            (412, "412 ms"),
            (4_200, "4.2 s"),
            (36_000, "36 s"),
            (59_990, "59.9 s"),
            (125_000, "2 min 5 s"),
            (3_600_000, "1 h"),
            (100_000_000, "1 d 3 h"),
        ] {
            assert_eq!(span_ms(milliseconds), text);
        }
        assert_eq!(span(Duration::from_micros(1500)), "1.5 ms");
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (185, "3 minutes ago"),
            (7_300, "2 hours ago"),
            (90_000, "1 day ago"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }

    #[test]
    fn air() {
        assert_eq!(airtime(4_200, Some(31_800)), "4.2 s of 36 s");
        assert_eq!(airtime(36_400, Some(0)), "36.4 s, none left");
        assert_eq!(airtime(4_200, None), "4.2 s");
    }
}
