//! From where and with what something is asked, by somebody who is not known yet.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::ids::{ActorId, SessionId};
use event_schemas::envelope;
use event_store::Cause;
use service_kit::access::{Caller, ClientAddress, user_agent};
use service_kit::telemetry::{self, TraceId};

/// From where a request comes, and what names it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address.
    pub ip: IpAddr,
    /// What it came with, cut and without control characters.
    pub user_agent: Option<String>,
    /// Names the request.
    pub trace_id: TraceId,
    /// The session in which it is asked, if whoever asks is known.
    pub session: Option<SessionId>,
    /// Staff of the platform who act in the person's place.
    pub acts: Option<ActorId>,
}

impl Origin {
    /// The same of a caller who is known.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        Self {
            ip: caller.ip,
            user_agent: caller.user_agent.clone(),
            trace_id: caller.trace_id,
            session: caller.session.map(SessionId::new),
            acts: caller.acts,
        }
    }

    /// What the envelope says of events that follow from it, if `actor` did it.
    #[must_use]
    pub fn cause(&self, actor: ActorId) -> Cause {
        Cause {
            actor: self.acts.unwrap_or(actor),
            session: self.session,
            on_behalf_of: self.acts.map(|_| actor),
            trace: Some(self.trace_id.to_string()),
            span: telemetry::current_span_id(),
            origin: Some(envelope::Origin {
                ip: Some(self.ip.to_string()),
                user_agent: self.user_agent.clone(),
            }),
            ..Cause::system(self.trace_id.uuid())
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            ip: parts.extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0),
            user_agent: user_agent(&parts.headers),
            trace_id: telemetry::current_trace_id().unwrap_or_else(TraceId::random),
            session: None,
            acts: None,
        })
    }
}
