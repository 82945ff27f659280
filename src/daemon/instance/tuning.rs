//! Which routes are to be tuned because their peers are reached by other means than before, and what became of it.
//!
//! Life-cycle of a change: a peer is *due* → what differs is *asked* of the netlink helper, one request at a time → the kernel
//! took it, and it is on record; or it did not, and the peers are due again after a rest. Whatever becomes due meanwhile waits,
//! all of it together, for the next request.
//!
//! Invariant: what is on record is what the kernel said yes to.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use anyhow::anyhow;
use ipnet::IpNet;
use meshnet_proto::key::PublicKey;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// The rest after a refusal.
const REST: Duration = Duration::from_secs(10);

/// What is reached by radio from here on, and how long a packet may be there; `None`: what is not any more.
pub(super) type Changes = BTreeMap<IpNet, Option<u16>>;

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Tuner {
    due: BTreeSet<PublicKey>,
    asked: Option<Asked>,
    rest: Option<Instant>,
}

struct Asked {
    peers: BTreeSet<PublicKey>,
    changes: Changes,
    answer: oneshot::Receiver<anyhow::Result<()>>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The kernel took it: it is to be put on record.
    Tuned(Changes),
    /// It did not; the peers are due again.
    Refused(anyhow::Error),
    /// The rest after a refusal is over.
    Rested,
}

impl Tuner {
    /// A peer may be reached by other means than the kernel was told.
    pub(super) fn note(&mut self, peer: PublicKey) {
        self.due.insert(peer);
    }

    /// Takes the peers that are due, if it is time to ask for something.
    pub(super) fn take_due(&mut self) -> BTreeSet<PublicKey> {
        if self.asked.is_some() || self.rest.is_some() {
            return BTreeSet::new();
        }
        std::mem::take(&mut self.due)
    }

    /// What is to change for these peers was asked for; `None` if the helper did not take it.
    pub(super) fn asked(
        &mut self,
        peers: BTreeSet<PublicKey>,
        changes: Changes,
        answer: Option<oneshot::Receiver<anyhow::Result<()>>>,
    ) {
        match answer {
            Some(answer) => self.asked = Some(Asked { peers, changes, answer }),
            None => self.again(peers),
        }
    }

    /// Everything is put in place anew: what was asked for before is of no interest, and nobody is due.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Waits until something came of what was asked for; for ever if nothing was. Can be cancelled.
    pub(super) async fn outcome(&mut self) -> Outcome {
        if let Some(asked) = &mut self.asked {
            let answer = (&mut asked.answer).await;
            let asked = self.asked.take();
            let (peers, changes) = asked.map(|asked| (asked.peers, asked.changes)).unwrap_or_default();
            let refused = match answer {
                Ok(Ok(())) => return Outcome::Tuned(changes),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("the netlink helper has ended"),
            };
            self.again(peers);
            return Outcome::Refused(refused);
        }
        let Some(rest) = self.rest else { return pending().await };
        sleep_until(rest).await;
        self.rest = None;
        Outcome::Rested
    }

    fn again(&mut self, peers: BTreeSet<PublicKey>) {
        self.due.extend(peers);
        self.rest = Some(Instant::now() + REST);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const PEER: PublicKey = PublicKey::from_bytes([1; 32]);

    fn changes() -> Changes {
        [("10.0.0.2/32".parse().unwrap(), Some(576))].into()
    }

    fn ask(tuner: &mut Tuner) -> oneshot::Sender<anyhow::Result<()>> {
        let (done, answer) = oneshot::channel();
        let due = tuner.take_due();
        assert_eq!(due, [PEER].into());
        tuner.asked(due, changes(), Some(answer));
        done
    }

    #[tokio::test]
    async fn what_the_kernel_took_is_told_and_what_came_meanwhile_waits_for_its_turn() {
        let mut tuner = Tuner::default();
        tuner.note(PEER);
        let done = ask(&mut tuner);
        tuner.note(PEER);
        assert!(tuner.take_due().is_empty(), "one request at a time");
        done.send(Ok(())).unwrap();
        assert!(matches!(tuner.outcome().await, Outcome::Tuned(taken) if taken == changes()));
        ask(&mut tuner);
    }

    #[tokio::test]
    async fn what_the_kernel_refused_is_due_again_after_a_rest() {
        let mut tuner = Tuner::default();
        for refusal in [Some(|| bail!("no such device")), None] {
            tuner.note(PEER);
            let done = ask(&mut tuner);
            match refusal {
                Some(refuse) => done.send(refuse()).unwrap(),
                None => drop(done),
            }
            assert!(matches!(tuner.outcome().await, Outcome::Refused(_)));
            assert!(tuner.take_due().is_empty(), "it rests");
            tuner.rest = Some(Instant::now());
            assert!(matches!(tuner.outcome().await, Outcome::Rested));
            assert_eq!(tuner.take_due(), [PEER].into());
        }
        tuner.asked([PEER].into(), changes(), None);
        assert!(tuner.take_due().is_empty(), "a helper that is busy is left alone too");
        tuner.forget();
        assert!(tuner.take_due().is_empty());
    }
}
