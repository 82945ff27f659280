//! When a parity part is cheaper than asking for what is lost.
//!
//! The rule: parity goes along if the air that the packet is expected to take, until all of it is there, is less with it
//! than without. Parts are lost independently, each with the probability that the path has measured. Then:
//!
//! - Asking for `k` missing parts costs one question, repeated until it arrives, and `k` parts, of which some are lost again:
//!   `R(0) = 0` and `R(k) = a / (1 - p) + k t + sum over j of B(k, j) R(j)`, where `a` and `t` are the air of a question and of
//!   a part, `p` the loss and `B(k, j)` the chance that `j` of `k` are lost.
//! - Without parity a packet of `n` parts costs `n t + sum of B(n, k) R(k)`.
//! - With it, `n t + s` for the parity part of air `s`; if it arrives, one missing part need not be asked for:
//!   `(1 - p) sum of B(n, k) R(max(k - 1, 0)) + p sum of B(n, k) R(k)`.
//!
//! In air alone it pays late: at LONG_FAST prices, with full parts, from 43 % loss on for two parts, 30 % for four, 12 % for
//! sixteen. The tests hold the table.

use std::time::Duration;

use super::fragment::MAX_PARTS;

/// A path that loses more is not worth a calculation: it is treated as if it lost this much.
const MAX_LOSS: f64 = 0.9;

/// What goes on the air costs, headers and preamble included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A part, or the parity, which is as long.
    pub part: Duration,
    /// The message that asks for parts.
    pub ask: Duration,
}

/// Returns the air that a packet is expected to take until all its parts are there.
#[must_use]
pub fn expected_air(parts: u8, loss: f64, prices: &Prices, parity: bool) -> Duration {
    let parts = usize::from(parts.min(MAX_PARTS));
    let loss = if loss.is_finite() { loss.clamp(0.0, MAX_LOSS) } else { 0.0 };
    let (part, ask) = (prices.part.as_secs_f64(), prices.ask.as_secs_f64());
    let repair = repair(parts, loss, part, ask);
    let after = |spared: usize| -> f64 {
        (0..=parts).map(|lost| binomial(parts, lost, loss) * repair[lost.saturating_sub(spared)]).sum()
    };
    let sent = part * f64::from(u8::try_from(parts).unwrap_or(MAX_PARTS));
    Duration::from_secs_f64(if parity {
        sent + part + (1.0 - loss) * after(1) + loss * after(0)
    } else {
        sent + after(0)
    })
}

/// Returns whether a packet in so many parts is expected to take less air with parity.
#[must_use]
pub fn pays(parts: u8, loss: f64, prices: &Prices) -> bool {
    parts > 1 && expected_air(parts, loss, prices, true) < expected_air(parts, loss, prices, false)
}

/// Returns the air that it takes to get 0, 1, … missing parts.
fn repair(parts: usize, loss: f64, part: f64, ask: f64) -> Vec<f64> {
    let mut air: Vec<f64> = vec![0.0];
    for (missing, count) in (1..=parts).zip(1_u8..) {
        let again: f64 = air.iter().enumerate().map(|(lost, air)| binomial(missing, lost, loss) * air).sum();
        let round = ask / (1.0 - loss) + f64::from(count) * part + again;
        air.push(round / (1.0 - binomial(missing, missing, loss)));
    }
    air
}

/// Returns the chance that exactly `lost` of `parts` are lost.
fn binomial(parts: usize, lost: usize, loss: f64) -> f64 {
    (0..parts).zip(1_u8..).fold(1.0, |chance, (at, nth)| {
        if at < lost {
            // Together these are the ways to choose, times the loss of each.
            let ways = f64::from(u8::try_from(parts - at).unwrap_or(MAX_PARTS)) / f64::from(nth);
            chance * ways * loss
        } else {
            chance * (1.0 - loss)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meshtastic::airtime::{Preset, max_payload, on_air_len};
    use rand_core::{Rng as _, SeedableRng as _};

    const PORT: u32 = 256;
    /// A sealed question: first byte, counter, kind, counter, bitmap, tag.
    const ASK_LEN: usize = 3 + 5 + 16;

    fn prices(preset: &str) -> Prices {
        let modem = Preset::by_name(preset).unwrap().modem(false);
        let air = |payload| modem.airtime(on_air_len(payload, PORT, true)) + modem.mean_access();
        Prices { part: air(max_payload(PORT, true)), ask: air(ASK_LEN) }
    }

    /// The least loss, in percent, from which on parity pays for so many full parts.
    fn threshold(parts: u8, prices: &Prices) -> u8 {
        (0..=90).find(|&loss| pays(parts, f64::from(loss) / 100.0, prices)).unwrap_or(100)
    }

    #[test]
    fn the_more_parts_the_earlier_parity_pays() {
        for (preset, expected) in
            [("LONG_FAST", [43, 36, 30, 24, 20, 12]), ("SHORT_TURBO", [39, 32, 27, 21, 17, 10])]
        {
            let prices = prices(preset);
            let table = [2, 3, 4, 6, 8, 16].map(|parts| threshold(parts, &prices));
            assert!(table.is_sorted_by(|fewer, more| fewer >= more), "{preset}: {table:?}");
            assert_eq!(table, expected, "{preset}");
        }
    }

    #[test]
    fn without_loss_nothing_is_repaired() {
        let prices = prices("LONG_FAST");
        assert_eq!(expected_air(5, 0.0, &prices, false), prices.part * 5);
        assert!(!(2..=16).any(|parts| pays(parts, 0.0, &prices)));
        assert!(!pays(1, 0.5, &prices));
        for nonsense in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            assert!(expected_air(16, nonsense, &prices, true) > Duration::ZERO);
        }
    }

    #[test]
    fn the_expectation_is_what_chance_gives() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let prices = prices("SHORT_TURBO");
        let (parts, loss) = (5, 0.25);
        for parity in [false, true] {
            let runs = 40_000;
            let mut sum = Duration::ZERO;
            for _ in 0..runs {
                let mut lost = |count: u32| (0..count).filter(|_| rng.next_u32() % 4 == 0).count() as u32;
                sum += prices.part * (parts + u32::from(parity));
                let mut missing = lost(parts);
                if parity && lost(1) == 0 {
                    missing = missing.saturating_sub(1);
                }
                while missing > 0 {
                    sum += prices.ask;
                    while lost(1) == 1 {
                        sum += prices.ask;
                    }
                    sum += prices.part * missing;
                    missing = lost(missing);
                }
            }
            let (mean, expected) =
                (sum.as_secs_f64() / f64::from(runs), expected_air(5, loss, &prices, parity).as_secs_f64());
            assert!((mean / expected - 1.0).abs() < 0.01, "{mean} {expected}");
        }
    }
}
