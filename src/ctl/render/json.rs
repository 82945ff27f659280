//! JSON for programs.

use serde::Serialize;

use crate::error::Error;

/// Returns the text of a value, with a newline at its end.
///
/// # Errors
/// If JSON cannot say it.
pub(crate) fn text(value: &impl Serialize, pretty: bool) -> Result<String, Error> {
    let made = serde_json::to_string(value);
    let mut text = made.map_err(|error| Error::failure("cannot write this as JSON").because(error))?;
    if pretty {
        text = indented(&text);
    }
    text.push('\n');
    Ok(text)
}

/// Lays out JSON text as serde_json's pretty form does.
///
/// The text itself and not a value: a daemon's description is passed on as it came, also what this program knows nothing of,
/// in its order and with its numbers.
fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '{' | '[' => {
                out.push(c);
                let close = if c == '{' { '}' } else { ']' };
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if characters.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in characters.by_ref() {
                    out.push(c);
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_form_is_serde_jsons() {
        let text = r#"{ "a" :[1,2.50 ,{}, [ ]],"b\"{":"x\\","c":{"d":null,"e":[{"f":"\u00e9, :[]"}]}}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let laid_out = indented(text);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&laid_out).unwrap(), value);
        assert_eq!(laid_out, indented(&laid_out));
        let simple = serde_json::json!({"a": [1, {"b": []}], "c": {}, "d": "x, y: {\"\\"});
        assert_eq!(indented(&simple.to_string()), serde_json::to_string_pretty(&simple).unwrap());
    }

    #[test]
    fn what_came_as_json_is_passed_on_as_it_came() {
        let raw = serde_json::value::RawValue::from_string("{\"later\":1.50,\"a\":2}".to_owned()).unwrap();
        assert_eq!(text(&raw, false).unwrap(), "{\"later\":1.50,\"a\":2}\n");
        assert_eq!(text(&[raw], true).unwrap(), "[\n  {\n    \"later\": 1.50,\n    \"a\": 2\n  }\n]\n");
    }
}
