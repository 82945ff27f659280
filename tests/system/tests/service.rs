//! The stories of the packaged service, each a claim about it on a whole Debian with systemd, D-Bus and polkit.

mod service {
    mod abuse;
    mod access;
    mod bus;
    mod client;
    mod first_network;
    mod ground;
    mod journal;
    mod machine;
    mod package;
    mod peers;
    mod reload;
    mod restart;
    mod sandbox;
    mod start;
    mod transcript;
    mod without_radios;
}
