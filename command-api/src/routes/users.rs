//! Persons, as an administrator changes them: deactivated, reactivated, their sessions ended.

use axum::extract::State;
use axum::response::Response;
use domain::Decision;
use domain::identity::{DeactivateUser, EndSessions, ReactivateUser};
use domain::ids::UserId;
use domain::leaving::Leaving;
use domain::words::Word;
use event_store::vault::VaultChange;
use service_kit::access::{Admitted, Allowed, permissions};
use service_kit::body::Path;
use service_kit::problem::{Problem, ProblemBody};

use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::keys::{Fingerprinted, IfMatch, OptionalKey};

const LOCATION: &str = "/v1/users";
const DEACTIVATED: Word = Word::of("deactivated");
const BY_ADMINISTRATOR: Word = Word::of("administrator");

/// Ends all sessions of a person, with the refresh tokens that keep them alive.
fn ends(by: &impl Admitted, user_id: UserId, because: Word) -> (EndSessions, VaultChange) {
    let caller = by.caller();
    let revoke = VaultChange::RevokeUser {
        tenant: caller.tenant,
        user: user_id.uuid(),
        except: None,
        because: "ended",
    };
    (EndSessions { user_id, except: None, because, by: caller.actor }, revoke)
}

/// Deactivates a person
///
/// They cannot act or sign in any more; all their sessions end at once. The last owner stays. Permission: `identity.deactivate-user`.
#[utoipa::path(
    post, path = "/v1/users/{id}/deactivate", tag = "users", operation_id = "deactivateUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They cannot act.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased, or nobody else owns the organisation.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn deactivate(
    State(app): State<App>,
    allowed: Allowed<permissions::DeactivateUser>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let path = user_id.to_string();
    let request = Fingerprinted {
        route: "POST /v1/users/{id}/deactivate",
        path: &[&path],
        if_match: IfMatch(None),
        body: &(),
    };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let (end, revoke) = ends(&allowed, user_id, DEACTIVATED);
    let deactivate = DeactivateUser { user_id, because: BY_ADMINISTRATOR };
    let leaving = Leaving::new(user_id, Box::new(deactivate));
    let commands: [Box<dyn Decision>; 2] = [Box::new(leaving), Box::new(end)];
    app.run_together(&allowed, key, LOCATION, Together { commands, vault: vec![revoke] }).await
}

/// Reactivates a person
///
/// They may sign in again. Permission: `identity.deactivate-user`.
#[utoipa::path(
    post, path = "/v1/users/{id}/reactivate", tag = "users", operation_id = "reactivateUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They may act.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reactivate(
    State(app): State<App>,
    allowed: Allowed<permissions::DeactivateUser>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let path = user_id.to_string();
    let request = Fingerprinted {
        route: "POST /v1/users/{id}/reactivate",
        path: &[&path],
        if_match: IfMatch(None),
        body: &(),
    };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    app.run(&allowed, key, None, LOCATION, ReactivateUser { user_id }).await
}

/// Ends the sessions of a person
///
/// All of them, at once and in every process. Permission: `identity.end-sessions`.
#[utoipa::path(
    delete, path = "/v1/users/{id}/sessions", tag = "users", operation_id = "endSessionsOfUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They have no session.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn end_sessions(
    State(app): State<App>,
    allowed: Allowed<permissions::EndSessions>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let path = user_id.to_string();
    let request = Fingerprinted {
        route: "DELETE /v1/users/{id}/sessions",
        path: &[&path],
        if_match: IfMatch(None),
        body: &(),
    };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let (end, revoke) = ends(&allowed, user_id, BY_ADMINISTRATOR);
    let commands: [Box<dyn Decision>; 1] = [Box::new(end)];
    app.run_together(&allowed, key, LOCATION, Together { commands, vault: vec![revoke] }).await
}
