//! What every object on the bus stands on: the way to the core, who may do what, how much of it.

use std::sync::Arc;

use meshnet_bus::Error;
use meshnet_bus::describe::Network;
use zbus::message::Header;

use super::authorizer::{Authorizer, Caller};
use super::limits::{Limits, Permit};
use crate::control::Handle;

/// Cheap to clone.
#[derive(Clone)]
pub struct Core {
    handle: Handle,
    authorizer: Arc<dyn Authorizer>,
    limits: Arc<Limits>,
}

impl Core {
    /// Puts the parts together.
    #[must_use]
    pub fn new(handle: Handle, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { handle, authorizer, limits: Arc::default() }
    }

    /// The way to the task that owns the protocol core.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Says how everything is.
    ///
    /// # Errors
    /// As [`Handle::describe`].
    pub async fn describe(&self) -> Result<Arc<Network>, Error> {
        self.handle.describe().await
    }

    /// Lets a caller that may do this go on. The first thing that a method does.
    ///
    /// # Errors
    /// `Busy` if enough is under way, `NotAuthorized` if the caller may not.
    pub async fn admit(&self, header: &Header<'_>, action: &'static str) -> Result<Permit, Error> {
        let permit = self.limits.enter(header)?;
        self.authorizer.check(&Caller::of(header), action).await?;
        Ok(permit)
    }

    /// Lets a caller go on with what all may do, but which is some work.
    ///
    /// # Errors
    /// `Busy` if enough is under way.
    pub fn enter(&self, header: &Header<'_>) -> Result<Permit, Error> {
        self.limits.enter(header)
    }

    /// As [`Self::admit`], for setters of properties: these hold the object tree, so nobody is asked for a password.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn admit_setter(
        &self,
        header: Option<&Header<'_>>,
        action: &'static str,
    ) -> Result<Permit, Error> {
        let header = header.ok_or_else(|| Error::Failed("no message".to_owned()))?;
        let permit = self.limits.enter(header)?;
        self.authorizer.check(&Caller::of(header).unasked(), action).await?;
        Ok(permit)
    }
}
