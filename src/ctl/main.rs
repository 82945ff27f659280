//! The meshnet client.

use std::process::ExitCode;

fn main() -> ExitCode {
    meshctl::main()
}
