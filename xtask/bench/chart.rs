//! The chart: a pair of bars for each job, ours above the reference's, as shares of the longer of the two, because the jobs
//! differ a thousandfold; what each takes stands behind its bar.

use std::fmt::Write as _;

use super::Bar;

const WIDTH: f64 = 860.0;
/// Where the bars begin: job names are left of it.
const LEFT: f64 = 300.0;
/// Of the longest bar.
const LENGTH: f64 = 430.0;
const TOP: f64 = 64.0;
const BAR: f64 = 14.0;
const PAIR: f64 = 46.0;

/// Draws it.
pub(super) fn draw(bars: &[&Bar]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a dozen")]
    let height = TOP + PAIR * bars.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-labelledby=\"title\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"title\">Airtime of each job, meshnet beside the reference</title>\n\
         <style>\n\
         .back {{ fill: #ffffff }} text {{ fill: #1f2430 }} .ours {{ fill: #0b7a75 }} .reference {{ fill: #b9bec9 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .back {{ fill: #14171f }} text {{ fill: #e6e8ee }} .ours {{ fill: #35c2b8 }} .reference {{ fill: #596072 }}\n\
         }}\n\
         </style>\n\
         <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Airtime per job, shorter is better</text>\n\
         <rect class=\"ours\" x=\"{LEFT}\" y=\"36\" width=\"14\" height=\"12\"/><text x=\"{}\" y=\"46\">meshnet</text>\n\
         <rect class=\"reference\" x=\"{}\" y=\"36\" width=\"14\" height=\"12\"/><text x=\"{}\" y=\"46\">reference</text>\n",
        LEFT + 20.0,
        LEFT + 100.0,
        LEFT + 120.0,
    );
    for (place, bar) in bars.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "a dozen")]
        let top = TOP + PAIR * place as f64;
        let longest = bar.ours.max(bar.reference).max(f64::MIN_POSITIVE);
        let share = format!(", {:.0} %", 100.0 * bar.ours / bar.reference);
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            top + BAR + 5.0,
            escape(&bar.job)
        );
        for (line, class, value, note) in
            [(0.0, "ours", bar.ours, share.as_str()), (BAR + 2.0, "reference", bar.reference, "")]
        {
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}{note}</text>",
                top + line,
                LENGTH * value / longest,
                LEFT + LENGTH * value / longest + 6.0,
                top + line + 11.0,
                time(value)
            );
        }
    }
    svg + "</svg>\n"
}

fn time(ms: f64) -> String {
    if ms < 10_000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_bar_of_a_pair_is_full_and_the_other_in_proportion() {
        let bar = Bar { job: "a < b".to_owned(), ours: 50.0, reference: 200.0 };
        let svg = draw(&[&bar]);
        assert!(svg.contains("class=\"ours\" x=\"300\" y=\"64.0\" width=\"107.5\""), "{svg}");
        assert!(svg.contains("class=\"reference\" x=\"300\" y=\"80.0\" width=\"430.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("50 ms, 25 %"), "{svg}");
    }
}
