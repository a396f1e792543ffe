//! Recovery keys: made by PVE, told once, straight into their sink.

use super::{Doing, item};
use crate::access::enrolment::{Factor, Keys, UNFINISHED, carrier, marked};
use crate::apply::factors;
use crate::error::{Error, Kind, Result};
use crate::profile::policy::Sink;
use crate::sanitize;
use crate::sink::{self, Item, What};

impl Doing<'_> {
    pub(super) fn keys_item(&self) -> Item {
        item(self.work, What::RecoveryKeys { user: self.user().to_owned() })
    }

    /// Makes the keys. On any failure they are deleted again; until they are stored a factor's description says that
    /// nobody has them, so that the next run makes new ones.
    pub(super) async fn keys(&self, sink: &Sink, listed: &[Factor]) -> Result<()> {
        let (work, user) = (self.work, self.user());
        let before = work.standing.borrow().clone();
        let place = sink::prove(sink, &self.keys_item()).await.map_err(|why| why.state(before.clone()))?;
        let carrier = carrier(listed);
        // The one that is marked by the call itself is unmarked, too.
        let mut marks = marked(listed);
        if let Some(carrier) = carrier
            && !marks.iter().any(|(id, _)| *id == carrier.id)
        {
            marks.push((carrier.id.clone(), carrier.words().to_owned()));
        }
        work.standing.replace(format!("{} may have recovery keys of {user} that nobody has", work.name()));
        let again = self.plan.keys == Keys::Again;
        let made = match work.calls(&factors::recovery(user, carrier, again, work.by())).await {
            // Another run is at work, or /etc/pve is not mounted: nothing was begun.
            Err(why) if matches!(why.kind, Kind::Busy | Kind::Refused) => return Err(why.state(before)),
            made => made.and_then(|answers| factors::keys(&answers)),
        };
        let stored = async {
            let staged = place.stage(made?)?;
            let shown = staged.shown();
            staged.keep().await.map(|()| shown)
        };
        let shown = match stored.await {
            Ok(shown) => shown,
            Err(why) => return Err(self.discarded(&marks, why).await),
        };
        work.standing.replace(format!("recovery keys of {user} on {} are in sink {shown}", work.name()));
        let answers = work.calls(&factors::finish(user, &marks, work.by())).await;
        let listed = answers.and_then(|answers| factors::listed(&answers));
        let missing = || Error::msg(Kind::Unreadable, "PVE does not list the recovery keys");
        listed.and_then(|all| if all.iter().any(Factor::is_keys) { Ok(()) } else { Err(missing()) }).map_err(
            |why| {
                let state = format!("{}; the mark \"{}\" may be left", work.standing.borrow(), UNFINISHED.trim());
                Error { kind: Kind::NeedsHands, ..why }
                    .state(state)
                    .hint("run the same command again: it makes new keys")
            },
        )?;
        let text = format!("{}: recovery keys of {} are in sink {shown}\n", work.name(), sanitize::line(user));
        work.output.result(&text)
    }

    /// Deletes keys that nobody has; the error that led to it, with what is left.
    async fn discarded(&self, marks: &[(String, String)], why: Error) -> Error {
        let (work, user) = (self.work, self.user());
        let gone = work.calls(&factors::discard(user, marks, work.by())).await;
        let left = gone.and_then(|answers| factors::listed(&answers));
        let app = if self.plan.totp { format!("{user} has the new app on {}; ", work.name()) } else { String::new() };
        let hint = why.hint.clone();
        let hinted = |error: Error, or: &str| error.hint(hint.unwrap_or_else(|| or.to_owned()));
        match left {
            Ok(all) if !all.iter().any(Factor::is_keys) => {
                let state = format!("{app}{user} has no recovery keys on {}", work.name());
                let error = Error { kind: Kind::RolledBack, state: String::new(), cause: why.cause, hint: None };
                hinted(error.state(state), "read the cause, then run the same command again")
            }
            _ => {
                let state = format!("{app}recovery keys of {user} that nobody has may be left on {}", work.name());
                let error = Error { kind: Kind::NeedsHands, state: String::new(), cause: why.cause, hint: None };
                error.state(state).hint("run the same command again: it makes new ones in their place")
            }
        }
    }
}
