//! A story as bytes: every decision of a world takes some of them, and when they are used up all decisions are 0.
//!
//! So any bytes are a story, a prefix of a story is a story, and small changes of the bytes are small changes of the story:
//! what a fuzzer needs.

/// Bytes, read from the front.
#[derive(Debug, Clone)]
pub struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    /// Starts at the front.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Returns whether all is read.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// Returns a number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = match u8::try_from(bound - 1) {
            Ok(_) => usize::from(self.byte()),
            Err(_) => usize::from(self.byte()) << 8 | usize::from(self.byte()),
        };
        number % bound
    }

    /// Returns one of these.
    pub fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// Returns true once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// Returns up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }
}
