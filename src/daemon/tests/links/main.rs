//! What becomes of links while a network runs, told by the real daemon on real interfaces.

mod ground;
mod reload;
