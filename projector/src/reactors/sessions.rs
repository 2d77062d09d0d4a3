//! Sessions whose refresh token came back. The vault revokes a family at once; this ends its session in the log if the process
//! that saw it did not live to do so. Nothing here is urgent: it makes good what is rare.
//!
//! Any number of processes do this side by side: a session that has ended already is no error.

use std::sync::Arc;

use domain::identity::EndSession;
use domain::ids::{ActorId, SessionId, UserId};
use domain::words::Word;
use event_store::vault::{TokenSession, Vault, VaultChange};
use event_store::{Cause, Executor, SubmitError, Unit};
use uuid::Uuid;

use crate::run::Fault;
use crate::shared::Shared;

pub(super) const NAME: &str = "reactor.sessions";

const BECAUSE: &str = "refresh-reused";
const BATCH_MAX: u16 = 100;

/// What it works with.
pub(super) struct Sessions {
    /// Over a pool of the role `quipu_reactor`.
    pub(super) vault: Vault,
    pub(super) executor: Executor,
}

/// Ends them until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(sessions: Arc<Sessions>, shared: Arc<Shared>) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        for session in sessions.vault.untold_sessions(BATCH_MAX).await? {
            sessions.end(session).await?;
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(shared.timing.tick) => {}
        }
    }
    Ok(())
}

impl Sessions {
    async fn end(&self, session: TokenSession) -> Result<(), Fault> {
        let end = EndSession {
            session_id: SessionId::new(session.session),
            of: Some(UserId::new(session.user)),
            because: Word::of(BECAUSE),
            by: ActorId::SYSTEM,
        };
        let revoke =
            VaultChange::RevokeSession { tenant: session.tenant, session: session.session, because: BECAUSE };
        let unit = Unit::new(session.tenant, Cause::system(Uuid::now_v7()), end).with_vault([revoke]);
        let receipt = match self.executor.submit(unit).await {
            Ok(receipt) => receipt,
            Err(error @ (SubmitError::Overloaded | SubmitError::Unavailable)) => {
                tracing::info!(manager = NAME, %error, "a session is ended later");
                return Ok(());
            }
            Err(error) => return Err(Fault::Odd(error.to_string())),
        };
        // Nothing was appended for one that had ended, or never was, so its rows were not touched either.
        if let Some(Err(refusal)) = receipt.results.first() {
            tracing::error!(manager = NAME, code = %refusal.code, "a family is of no session");
        }
        Ok(self.vault.mark_told(session.tenant, session.session).await?)
    }
}
