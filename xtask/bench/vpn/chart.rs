//! The chart: three panels side by side, a bar for each program, as shares of the panel's longest.

use std::fmt::Write as _;

use super::peer::OURS;
use super::section::Medians;

const WIDTH: f64 = 960.0;
/// Where the first panel's bars begin: names are left of it.
const LEFT: f64 = 150.0;
const PANEL: f64 = 270.0;
/// Of the longest bar of a panel.
const LENGTH: f64 = 170.0;
const TOP: f64 = 64.0;
const ROW: f64 = 24.0;
const BAR: f64 = 15.0;

/// Draws it.
pub(super) fn draw(all: &[Medians]) -> String {
    let panels: [(&str, Vec<(f64, String)>); 3] = [
        (
            "TCP, one stream: longer is better",
            all.iter().map(|one| (one.turn.tcp, format!("{:.2} Gbit/s", one.turn.tcp / 1e9))).collect(),
        ),
        (
            "64 B packets/s: longer is better",
            all.iter().map(|one| (one.turn.small, format!("{:.0}k", one.turn.small / 1e3))).collect(),
        ),
        (
            "Processor s per GB: shorter is better",
            all.iter().map(|one| (one.turn.processor, format!("{:.1} s", one.turn.processor))).collect(),
        ),
    ];
    #[allow(clippy::cast_precision_loss, reason = "a dozen")]
    let height = TOP + ROW * all.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-labelledby=\"title\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"title\">VPN programs between two namespaces of one machine</title>\n\
         <style>\n\
         .back {{ fill: #ffffff }} text {{ fill: #1f2430 }} .ours {{ fill: #0b7a75 }} .other {{ fill: #b9bec9 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .back {{ fill: #14171f }} text {{ fill: #e6e8ee }} .ours {{ fill: #35c2b8 }} .other {{ fill: #596072 }}\n\
         }}\n\
         </style>\n\
         <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">VPNs between two namespaces of one machine</text>\n"
    );
    // Writing to a string does not fail.
    for (place, one) in all.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            row(place) + 12.0,
            one.turn.peer
        );
    }
    for (column, (title, values)) in panels.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "three")]
        let left = LEFT + PANEL * column as f64;
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", TOP - 12.0);
        let longest = values.iter().map(|(value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
        for (place, (value, text)) in values.iter().enumerate() {
            let class = if all[place].turn.peer == OURS { "ours" } else { "other" };
            let length = LENGTH * value / longest;
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                row(place),
                left + length + 6.0,
                row(place) + 12.0
            );
        }
    }
    svg + "</svg>\n"
}

#[allow(clippy::cast_precision_loss, reason = "a dozen")]
fn row(place: usize) -> f64 {
    TOP + ROW * place as f64
}
