//! Worlds of nodes on simulated air.
