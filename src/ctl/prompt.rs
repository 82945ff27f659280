//! Questions on a terminal. The question goes to stderr, the answer comes from stdin; where one of them is no terminal,
//! nothing is asked.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use crate::error::Error;

/// The longest answer in bytes.
const MAX_LEN: u64 = 4096;

/// Whether somebody can be asked.
pub(crate) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; an empty one is an answer too.
///
/// # Errors
/// If there is no answer, the input's end.
pub(crate) fn ask(question: &str) -> Result<Zeroizing<String>, Error> {
    eprint!("{question} ");
    let _ = io::stderr().flush();
    let line = line()?;
    if line.is_empty() {
        eprintln!();
        return Err(Error::failure("there was no answer"));
    }
    Ok(Zeroizing::new(line.trim().to_owned()))
}

/// Asks whether to do something, which it is if nothing is said.
///
/// # Errors
/// As [`ask`].
pub(crate) fn confirm(question: &str) -> Result<bool, Error> {
    loop {
        match ask(&format!("{question} [Y/n]"))?.to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

/// Lets one of several be chosen.
///
/// # Errors
/// As [`ask`].
pub(crate) fn choose(question: &str, choices: &[String]) -> Result<usize, Error> {
    for (at, choice) in choices.iter().enumerate() {
        eprintln!("  {} {}", at + 1, crate::render::clean(choice));
    }
    loop {
        let answer = ask(&format!("{question} [1-{}]", choices.len()))?;
        if let Some(at) = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1))
            && at < choices.len()
        {
            return Ok(at);
        }
    }
}

/// Reads a line from stdin, of bounded length; empty at the input's end.
///
/// # Errors
/// If it cannot be read, or is too long.
pub(crate) fn line() -> Result<Zeroizing<String>, Error> {
    let mut line = Zeroizing::new(String::with_capacity(usize::try_from(MAX_LEN).unwrap_or(0) + 1));
    let read = io::stdin().lock().take(MAX_LEN + 1).read_line(&mut line);
    read.map_err(|error| Error::failure("cannot read stdin").because(error))?;
    if line.len() as u64 > MAX_LEN {
        return Err(Error::failure(format!("the line is longer than {MAX_LEN} bytes")));
    }
    Ok(line)
}
