//! How much callers may keep the daemon busy with.
//!
//! Every order that may wait (for polkit, a password, an answer from the air) holds a [`Permit`] for as long, few for each
//! caller and not many more for all; beyond that callers are told to come back later. So no caller can make tasks pile up,
//! and none can keep all others out by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meshnet_bus::Error;
use zbus::message::Header;

/// How many orders one caller may have under way.
pub const ORDERS_PER_CALLER: usize = 4;
/// How many orders may be under way.
pub const ORDERS: usize = 24;

/// The orders under way, by caller.
#[derive(Debug, Default)]
pub struct Limits(Arc<Mutex<HashMap<String, usize>>>);

/// The right to carry out an order, until dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    under_way: Arc<Mutex<HashMap<String, usize>>>,
    caller: String,
}

impl Limits {
    /// Admits the sender of this call.
    ///
    /// # Errors
    /// `Busy` if the sender, or all senders together, have enough under way.
    pub fn enter(&self, header: &Header<'_>) -> Result<Permit, Error> {
        let caller = header.sender().map(ToString::to_string).unwrap_or_default();
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.values().sum::<usize>() >= ORDERS {
            return Err(Error::Busy("too many requests are under way already; try again later".to_owned()));
        }
        if under_way.get(&caller).is_some_and(|count| *count >= ORDERS_PER_CALLER) {
            let what =
                format!("{ORDERS_PER_CALLER} requests of yours are under way already; wait for one of them");
            return Err(Error::Busy(what));
        }
        *under_way.entry(caller.clone()).or_default() += 1;
        drop(under_way);
        Ok(Permit { under_way: Arc::clone(&self.0), caller })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.caller);
            }
        }
    }
}
