//! Signing in with a provider, from the page: there, and back. The browser keeps what binds the two, and where to go on to.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use domain::DomainError as _;
use domain::federation::FederationError;
use domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use service_kit::body::Query;
use service_kit::problem::{Problem, code};
use service_kit::random;

use super::sign_in::{Onward, Place, enters, form, second, ticket};
use super::view::Told;
use super::visitor::{BACK, Visitor};
use crate::answer::gone_to;
use crate::app::App;
use crate::identity::federated::{AT_PROVIDER, BACK_PATH, BeginFederated, Challenge, Freshness};
use crate::identity::sessions::InSession;
use crate::oauth::Asked;
use crate::routes::federation::{browser_of, remembered};

/// With whom, and where to then.
#[derive(Deserialize)]
pub(super) struct WithParams {
    provider: String,
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
}

/// How it went there.
#[derive(Deserialize)]
pub(super) struct BackParams {
    code: Option<String>,
    error: Option<String>,
}

/// What the browser keeps meanwhile.
#[derive(Serialize, Deserialize)]
struct Kept {
    verifier: String,
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
}

/// `GET /sign-in/with`
pub(super) async fn begin(
    State(app): State<App>,
    mut visitor: Visitor,
    headers: HeaderMap,
    Query(params): Query<WithParams>,
) -> Result<Response, Problem> {
    let WithParams { provider, request, organization, device } = params;
    let onward = Onward::new(request, organization, device);
    let unknown = || Problem::new(&code::NOT_FOUND, "");
    let place = Place::of(&app, &mut visitor, &onward).await?.ok_or_else(unknown)?;
    let tenant = match &place.asked {
        Some(asked) => asked.tenant,
        None => app.identity.organisation(&place.slug).await?,
    };
    let verifier = random::text()?;
    let asked = BeginFederated {
        tenant,
        provider,
        return_uri: app.pages.link(BACK_PATH).ok_or_else(unknown)?,
        challenge: Challenge::of(&verifier).ok_or_else(unknown)?,
        browser: browser_of(&app, &headers),
        signed_in: None,
        freshness: freshness(&place, tenant, visitor.who()),
    };
    let sent = app.identity.begin_federated(&app.providers, asked, &visitor.origin).await?;
    let (request, organization, device) = onward.parts();
    let kept = Kept { verifier, request, organization, device };
    let kept = serde_urlencoded::to_string(&kept).map_err(|error| Problem::fault(&error))?;
    let lasts = i64::try_from(AT_PROVIDER.as_secs()).ok();
    let mut response = remembered(&app, &sent, gone_to(sent.url.as_str()));
    response.headers_mut().extend(visitor.cookie(BACK, &kept, lasts).map(|it| (SET_COOKIE, it)));
    Ok(response)
}

/// `GET /sign-in/back`
pub(super) async fn back(
    State(app): State<App>,
    mut visitor: Visitor,
    Query(params): Query<BackParams>,
) -> Result<Response, Problem> {
    let stranger = || Problem::new(&code::PROVIDER_STATE_INVALID, "");
    let kept = visitor.back.as_deref().and_then(|it| serde_urlencoded::from_str::<Kept>(it).ok());
    let Kept { verifier, request, organization, device } = kept.ok_or_else(stranger)?;
    let onward = Onward::new(request, organization, device);
    let handed = match (params.code, params.error) {
        (Some(shown), None) => app.identity.hand_over(&shown, &verifier, &visitor.origin).await,
        (_, error) => Err(refusal(error.as_deref())),
    };
    let mut response = match handed {
        Ok(done) => enters(&app, &visitor, &onward, &done.tokens.refresh, None).await?,
        Err(problem) => match ticket(&problem) {
            Some(ticket) => second(&app, &visitor, &onward, &ticket, None).await?,
            None => {
                let place = Place::of(&app, &mut visitor, &onward).await?.ok_or_else(stranger)?;
                let told = Told::of(problem, visitor.language);
                form(&app, &visitor, &onward, &place, None, Some(&told)).await?
            }
        },
    };
    response.headers_mut().extend(visitor.without(BACK).map(|it| (SET_COOKIE, it)));
    Ok(response)
}

/// What must be fresh: what an application demands; and whoever is signed in already is here because of what they did not show.
fn freshness(place: &Place, tenant: TenantId, who: Option<InSession>) -> Freshness {
    if place.asked.as_ref().is_some_and(Asked::demands_fresh_proof) {
        return Freshness::Demanded;
    }
    who.filter(|it| it.tenant == tenant).map_or(Freshness::Any, |_| Freshness::Asked)
}

/// What went wrong at the provider. The text comes through the browser, so it is only compared with what we would say.
fn refusal(error: Option<&str>) -> Problem {
    let known = [
        code::PROVIDER_DENIED,
        code::PROVIDER_NOT_FRESH,
        code::PROVIDER_UNAVAILABLE,
        code::PROVIDER_ANSWER_INVALID,
    ];
    let ruled = [FederationError::LinkNeedsSignIn, FederationError::AddressNotVouched];
    if let Some(ruled) = ruled.into_iter().find(|it| error == Some(it.code())) {
        return domain::Refusal::from(ruled).into();
    }
    let known = known.iter().find(|it| error == Some(it.code));
    Problem::new(known.unwrap_or(&code::PROVIDER_STATE_INVALID), "")
}
