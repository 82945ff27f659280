//! Virtual Meshtastic radios: the command.

fn main() {}
