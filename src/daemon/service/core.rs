//! What every object on the bus stands on: the way to the core, who may do what, how much of it.

use std::sync::Arc;

use meshnet_bus::Error;
use meshnet_bus::describe::Network;
use zbus::message::Header;

use super::authorizer::{Authorizer, Caller};
use super::limits::{Limits, Permit};
use crate::control::{Handle, Scope};

/// Cheap to clone, and small: every object has one.
#[derive(Clone)]
pub struct Core(Arc<Parts>);

struct Parts {
    handle: Handle,
    authorizer: Arc<dyn Authorizer>,
    limits: Limits,
}

impl Core {
    /// Puts the parts together.
    #[must_use]
    pub fn new(handle: Handle, authorizer: Arc<dyn Authorizer>) -> Self {
        Self(Arc::new(Parts { handle, authorizer, limits: Limits::default() }))
    }

    /// The way to the task that owns the protocol core.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Says how things are.
    ///
    /// # Errors
    /// As [`Handle::describe_only`].
    pub async fn describe(&self, scope: Scope) -> Result<Arc<Network>, Error> {
        self.0.handle.describe_only(scope).await
    }

    /// Lets a caller that may do this go on. The first thing that a method does.
    ///
    /// # Errors
    /// `Busy` if enough is under way, `NotAuthorized` if the caller may not.
    pub async fn admit(&self, header: &Header<'_>, action: &'static str) -> Result<Permit, Error> {
        let permit = self.0.limits.enter(header)?;
        self.0.authorizer.check(&Caller::of(header), action).await?;
        Ok(permit)
    }

    /// Lets a caller go on with what all may do, but which is some work.
    ///
    /// # Errors
    /// `Busy` if enough is under way.
    pub fn enter(&self, header: &Header<'_>) -> Result<Permit, Error> {
        self.0.limits.enter(header)
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
        let permit = self.0.limits.enter(header)?;
        self.0.authorizer.check(&Caller::of(header).unasked(), action).await?;
        Ok(permit)
    }
}
