//! The stories: each file makes one claim about the whole program, on real kernels and simulated radios.

mod stories {
    mod conversation;
    mod dependencies;
    mod faults;
    mod fragments;
    mod ipv6;
    mod names;
    mod narrow;
    mod official_client;
    mod rekey;
    mod restart;
    mod segments;
    mod serial;
    mod sleep;
    mod terse;
    mod wire;
    mod wireguard;
}
