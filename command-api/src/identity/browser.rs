//! Browsers in which somebody is signed in. What the browser keeps stands for a session like any other: it began by the same
//! sign-in, it is in the same lists, and whatever ends sessions ends it. So a browser is asked for nothing but which session
//! it stands for; whether that stands, the log says each time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{SessionId, TenantId, UserId};
use domain::organisation::Tenant;
use domain::organisation::tenant;
use domain::words::Word;
use domain::{StreamId, View};
use event_store::access::{Question, look};
use event_store::vault::{Digest, ShownBrowser, TokenSession};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::bearer::{Bearer, Kind};
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::facts::unknown;
use super::sessions::InSession;
use super::{Identity, Origin, PLATFORM_SLUG, unavailable};

/// How long a browser stands for a session at most, however long that itself may last: half a day (NIST SP 800-63B-4 section
/// 2.2.3, reauthentication at level 2).
const KEPT_FOR: Duration = Duration::from_secs(12 * 3_600);

/// Somebody who is signed in in a browser.
#[derive(Debug, Clone)]
pub struct InBrowser {
    /// The session, which stands.
    pub who: InSession,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How.
    pub amr: Vec<Word>,
}

/// How an organisation is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// In addresses.
    pub slug: String,
    /// By people.
    pub name: String,
}

/// How is an organisation called?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NameOf(TenantId);

impl Question for NameOf {
    type Answer = Option<Called>;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![tenant::stream(self.0)]
    }

    fn answer(&self, view: &View<'_>) -> Option<Called> {
        let dossier = view.find::<Tenant>(self.0.uuid())?.state.dossier()?;
        Some(Called { slug: dossier.slug.to_string(), name: dossier.name.to_string() })
    }
}

impl Identity {
    /// How an organisation is called, if there is one.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn organisation_called(&self, tenant: TenantId) -> Result<Option<Called>, Problem> {
        if tenant == TenantId::PLATFORM {
            return Ok(Some(Called { slug: PLATFORM_SLUG.to_owned(), name: PLATFORM_SLUG.to_owned() }));
        }
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let called = look(&mut conn, &NameOf(tenant)).await.map_err(unknown)?;
        Ok(called.as_ref().clone())
    }

    /// The address of somebody who is signed in, for themselves to see.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn address(&self, who: InSession) -> Result<Option<String>, Problem> {
        let address = self.address_of(who.tenant, who.user).await?;
        Ok(address.map(|it| it.mailbox().to_owned()))
    }

    /// Lets a browser stand for the session that was just started, in place of whatever it stood for: the text that it keeps
    /// is always a new one, so nobody can have put it there before (session fixation). The refresh token is nobody's from
    /// then on.
    ///
    /// # Errors
    /// If the vault does not answer.
    pub async fn keep_in_browser(
        &self,
        refresh: &SecretString,
    ) -> Result<(SecretString, InSession), Problem> {
        let started = self.session_behind(refresh.expose_secret()).await?;
        let who = started.ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))?;
        let made = Bearer::make(Kind::Browser, who.tenant, Uuid::now_v7())?;
        let session = TokenSession { tenant: who.tenant, session: who.session.uuid(), user: who.user.uuid() };
        let kept = self.parts().vault.keep_browser(&shown(&made), &session, KEPT_FOR).await;
        kept.map_err(unavailable)?;
        Ok((made.text(), who))
    }

    /// Who is signed in in a browser that shows this, if their session stands.
    ///
    /// # Errors
    /// If it cannot be known.
    pub async fn in_browser(&self, text: &str) -> Result<Option<InBrowser>, Problem> {
        let Ok(bearer) = Bearer::parse(Kind::Browser, text) else { return Ok(None) };
        let stood = self.parts().vault.browser(&shown(&bearer)).await.map_err(unavailable)?;
        let Some(who) = stood.map(in_session) else { return Ok(None) };
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        Ok(stands.as_ref().as_ref().map(|it| InBrowser {
            who,
            auth_time: it.session.auth_time,
            amr: it.session.amr.clone(),
        }))
    }

    /// Forgets a browser, and ends the session that it stood for.
    ///
    /// # Errors
    /// If it cannot be known whether it ended.
    pub async fn leave_browser(&self, text: &str, origin: &Origin) -> Result<(), Problem> {
        let Ok(bearer) = Bearer::parse(Kind::Browser, text) else { return Ok(()) };
        let stood = self.parts().vault.browser(&shown(&bearer)).await.map_err(unavailable)?;
        // The session first: if that fails, the browser can still be told to try again.
        self.sign_out(stood.map(in_session), None, origin).await?;
        self.parts().vault.forget_browser(&shown(&bearer)).await.map_err(unavailable)?;
        Ok(())
    }
}

fn shown(bearer: &Bearer) -> ShownBrowser {
    ShownBrowser { tenant: bearer.tenant, browser: bearer.id, hash: Digest(bearer.hash()) }
}

fn in_session(stood: TokenSession) -> InSession {
    InSession { tenant: stood.tenant, session: SessionId::new(stood.session), user: UserId::new(stood.user) }
}
