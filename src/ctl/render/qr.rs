//! A QR code in the terminal: two of its squares in each character.

use anstyle::{Ansi256Color, Color, Style};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Black on white whatever the terminal's colours are.
const COLORS: Style = Style::new()
    .fg_color(Some(Color::Ansi256(Ansi256Color(231))))
    .bg_color(Some(Color::Ansi256(Ansi256Color(16))));

/// Returns the code of a text, each line with its newline; `None` if the text is too long for one.
///
/// Without colours light squares are drawn, as on a terminal that is dark; most cameras read the other kind too.
pub(crate) fn code(text: &str) -> Option<String> {
    // The least redundancy: a screen is not worn.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(drawn.lines().map(|line| format!("{COLORS}{line}{COLORS:#}\n")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_becomes_a_square_that_a_terminal_can_show() {
        let text = super::code(&"x".repeat(200)).unwrap();
        let plain = anstream::adapter::strip_str(&text).to_string();
        let width = plain.lines().next().unwrap().chars().count();
        assert!(width < 80 && plain.lines().count() == width.div_ceil(2), "{width}");
        assert!(plain.lines().all(|line| line.chars().count() == width));
        assert_eq!(super::code(&"x".repeat(5000)), None);
    }
}
