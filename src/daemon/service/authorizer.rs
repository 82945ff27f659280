//! Who may do what: asked of polkit for every call anew, before anything is touched.
//!
//! The subject is the caller's name on the bus, which the bus itself vouches for and never gives to another connection; a
//! process id could be another's by the time it is looked at. No answer is kept: polkit knows what its own answers are worth,
//! and root is asked about like everybody (polkit's rules let it). The user is only asked for a password if the caller's
//! message allows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use meshnet_bus::Error;
use tracing::{debug, warn};
use zbus::Connection;
use zbus::message::{Flags, Header};
use zbus::wire::Variant;

/// How long polkit may take to decide by itself.
const DECIDE: Duration = Duration::from_secs(10);
/// How long a user may take to type a password.
const TYPE: Duration = Duration::from_secs(120);
/// polkit's flag that lets it ask the user.
const ALLOW_USER_INTERACTION: u32 = 1;

/// Who wants something.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The unique name on the bus; `None` on a peer-to-peer connection.
    pub name: Option<String>,
    /// Whether the user may be asked for a password.
    pub interactive: bool,
}

impl Caller {
    /// Returns who sent this call.
    #[must_use]
    pub fn of(header: &Header<'_>) -> Self {
        Self {
            name: header.sender().map(ToString::to_string),
            interactive: header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH),
        }
    }

    /// The same caller, whose user is not asked.
    #[must_use]
    pub fn unasked(self) -> Self {
        Self { interactive: false, ..self }
    }
}

/// Decides who may do what.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether the caller may do this (`meshnet_bus::names::ACTION_*`).
    ///
    /// # Errors
    /// `NotAuthorized` if not, or if that cannot be found out.
    fn check<'a>(&'a self, caller: &'a Caller, action: &'static str) -> BoxFuture<'a, Result<(), Error>>;
}

/// Lets everybody do everything: whoever holds the other end of a peer-to-peer connection was given it.
#[derive(Debug, Clone, Copy)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn check<'a>(&'a self, _: &'a Caller, _: &'static str) -> BoxFuture<'a, Result<(), Error>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// What `CheckAuthorization` answers.
type Answer = (bool, bool, HashMap<String, String>);

/// polkit, as much of it as is used here.
#[zbus::proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<Answer>;

    fn cancel_check_authorization(&self, cancellation_id: &str) -> zbus::Result<()>;
}

/// Asks polkit, over a connection of its own: callers that crowd the other one cannot hold up the answers.
#[derive(Debug)]
pub struct Polkit {
    authority: AuthorityProxy<'static>,
    questions: AtomicU64,
}

impl Polkit {
    /// Prepares to ask over this connection; polkit need not run yet.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn new(connection: &Connection) -> zbus::Result<Self> {
        let authority = AuthorityProxy::new(connection).await?;
        Ok(Self { authority, questions: AtomicU64::new(0) })
    }

    async fn ask(&self, caller: &Caller, action: &'static str) -> Result<(), Error> {
        let Some(name) = &caller.name else {
            return Err(Error::NotAuthorized("the caller has no name on the bus".to_owned()));
        };
        let subject = ("system-bus-name", HashMap::from([("name", Variant::from(name.as_str()))]));
        let (flags, patience) = if caller.interactive { (ALLOW_USER_INTERACTION, TYPE) } else { (0, DECIDE) };
        let id = format!("meshnet-{}", self.questions.fetch_add(1, Ordering::Relaxed));
        let question = self.authority.check_authorization(&subject, action, HashMap::new(), flags, &id);
        let answer = tokio::time::timeout(patience, question).await;
        debug!(caller = name, action, "polkit: {answer:?}");
        match answer {
            Ok(Ok((true, ..))) => Ok(()),
            Ok(Ok((false, challenge, _))) => Err(refusal(action, challenge)),
            Ok(Err(error)) => {
                warn!("polkit could not be asked: {error}");
                let what = format!("polkit could not be asked for {action}: {error}; is polkitd installed?");
                Err(Error::NotAuthorized(what))
            }
            Err(_) => {
                // Takes the question for the password off the screen; there is nobody left to care if it fails.
                let _ = tokio::time::timeout(DECIDE, self.authority.cancel_check_authorization(&id)).await;
                Err(Error::NotAuthorized(format!("polkit did not decide on {action} in time")))
            }
        }
    }
}

fn refusal(action: &str, challenge: bool) -> Error {
    Error::NotAuthorized(if challenge {
        format!("{action} takes a password, which the caller did not let polkit ask for; try as root")
    } else {
        format!("polkit does not allow {action}; try as root")
    })
}

impl Authorizer for Polkit {
    fn check<'a>(&'a self, caller: &'a Caller, action: &'static str) -> BoxFuture<'a, Result<(), Error>> {
        self.ask(caller, action).boxed()
    }
}
