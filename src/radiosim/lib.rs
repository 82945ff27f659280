//! Virtual Meshtastic radios.
