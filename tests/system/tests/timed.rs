//! Stories that measure time: few of them run at once, and nothing else beside them.

mod timed {
    mod shared_air;
    mod transitions;
}
