//! From what a unit was judged to say to rows of the batch: events sealed and encoded, with who did it and from where; claims,
//! changes of the vault, and the answer that its key remembers.

use domain::ids::TenantId;
use domain::private::Private;
use domain::{ErrorKind, Event, Refusal};
use event_schemas::envelope::Meta;
use uuid::Uuid;

use super::{Plan, Planned, Staged, earlier};
use crate::idempotency::{IdempotencyKey, StoredAnswer};
use crate::keyring::{Known, ORIGIN_PATH, Place};
use crate::unit::{Done, Unit, VERSION_MISMATCH};

impl Plan<'_> {
    /// Adds what the unit says to the batch: all of it, or `None` if an event cannot be written, which is a defect of
    /// the build.
    pub(super) fn write(&mut self, unit: &Unit, staged: Staged) -> Option<()> {
        let mut written = Vec::with_capacity(staged.events.len());
        for (tenant, mut event, links) in staged.events {
            let (own, _) = links.first()?;
            let place = Place { tenant, stream: *own, event_id: Uuid::now_v7(), path: ORIGIN_PATH };
            self.seal(&mut event, &place)?;
            let encoded = event_schemas::encode(&event)
                .inspect_err(|error| tracing::error!(%error, "an event cannot be encoded"))
                .ok()?;
            written.push((tenant, place.event_id, encoded, self.meta(unit, &place)?, links));
        }
        if !written.is_empty() {
            self.draft.append.change_vault(&unit.vault);
        }
        for (tenant, event_id, encoded, meta, links) in written {
            self.draft.append.event(tenant, event_id, encoded, meta, &links);
        }
        for (tenant, claim, stream) in staged.claims {
            self.draft.append.claim(tenant, claim, stream);
        }
        self.draft.overlay.extend(staged.overlay);
        self.draft.valid_until = earlier(self.draft.valid_until, staged.valid_until);
        Some(())
    }

    /// Seals what an event says in private. `None` if it cannot be: its subject is not among those that its command
    /// named, or the text is not in the clear.
    fn seal(&self, event: &mut Event, place: &Place<'_>) -> Option<()> {
        for (path, private) in event.privates() {
            let key = match self.keys.find(place.tenant, private.subject()) {
                Some(Known::Key(key)) => key,
                Some(Known::Erased) | None => {
                    tracing::error!(path, "a private field has no key");
                    return None;
                }
            };
            let sealed = key.seal(&Place { path, ..*place }, private.reveal()?.as_bytes()).ok()?;
            *private = Private::Sealed(sealed);
        }
        Some(())
    }

    /// Who, from where and why. What an erased person does is said without a place.
    fn meta(&self, unit: &Unit, place: &Place<'_>) -> Option<String> {
        let cause = unit.cause_in(place.tenant);
        let origin = match (&cause.origin, self.keys.find(place.tenant, cause.actor.uuid())) {
            (None, _) | (Some(_), Some(Known::Erased)) => None,
            (Some(origin), Some(Known::Key(key))) => {
                let sealed = key.seal(place, &serde_json::to_vec(origin).ok()?).ok()?;
                Some(serde_json::to_value(Private::Sealed(sealed)).ok()?)
            }
            (Some(_), None) => return None,
        };
        let meta = Meta {
            actor: cause.actor,
            token: cause.token,
            session: cause.session,
            on_behalf_of: cause.on_behalf_of,
            correlation: cause.correlation,
            causation: cause.causation,
            trace: cause.trace.clone(),
            span: cause.span.clone(),
            origin,
        };
        serde_json::to_string(&meta).ok()
    }

    /// Fixes a unit's results and remembers them under its key, if they are an answer that a retry must get again.
    pub(super) fn settle(&mut self, unit: &Unit, results: Vec<Result<Done, Refusal>>) -> Planned {
        if let Some(key) = &unit.key
            && (is_final(&results) || results.iter().any(Result::is_ok))
            && let Ok(body) = serde_json::to_string(&StoredAnswer::new(&results))
        {
            self.draft.append.answer(unit.tenant, key, body);
            self.remember(unit.tenant, key);
        }
        Planned::Judged { results, last_event: self.draft.append.events() }
    }

    fn remember(&mut self, tenant: TenantId, key: &IdempotencyKey) {
        self.draft.answered.insert((tenant, key.scope), (self.draft.units.len(), key.fingerprint));
    }
}

/// Whether a repeated request must get these results again: what was carried out, and what a rule refused. What made
/// no sense or was not found is judged anew.
fn is_final(results: &[Result<Done, Refusal>]) -> bool {
    results.iter().all(|result| match result {
        Ok(_) => true,
        Err(refusal) => {
            matches!(refusal.kind, ErrorKind::Conflict | ErrorKind::Rejected)
                && refusal.code != VERSION_MISMATCH
        }
    })
}
