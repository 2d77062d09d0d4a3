//! Signing in: in which organisation, with what, and then on to where somebody wanted to go.
//!
//! Where somebody goes on to is kept in the form, and is a word of ours: a request that an application made, or a device. So
//! no link can send them elsewhere.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::gate::GateError;
use domain::organisation::Slug;
use event_store::vault::Language;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::body::Query;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody, code};

use super::form::Filled;
use super::passkey;
use super::view::{Frame, Told, leaving, page, refused_page, see_other};
use super::visitor::{BROWSER, DEVICE, Visitor};
use crate::app::App;
use crate::identity::browser::{Called, InBrowser};
use crate::identity::device::KNOWN_FOR;
use crate::identity::second_factor::{Lacks, Proof, SecondHalf};
use crate::identity::sessions::InSession;
use crate::identity::sign_in::SignIn;
use crate::oauth::{Asked, Next};
use crate::passwords::Password;

/// Digits of the code of an authenticator; what is longer is a recovery code.
const CODE_DIGITS: usize = 6;

/// Where somebody goes on to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Onward {
    /// To an application, which asked for them.
    request: Option<String>,
    /// In which organisation they sign in, if no application names it.
    organization: Option<String>,
    /// To the connection of a device, with its code if it gave one along.
    device: Option<String>,
}

impl Onward {
    /// To a device.
    pub(super) fn device(user_code: &str) -> Self {
        Self { device: Some(user_code.to_owned()), ..Self::default() }
    }

    /// To all of these that there are.
    pub(super) const fn new(
        request: Option<String>,
        organization: Option<String>,
        device: Option<String>,
    ) -> Self {
        Self { request, organization, device }
    }

    /// To an organisation.
    pub(super) fn organization(slug: &str) -> Self {
        Self { organization: Some(slug.to_owned()), ..Self::default() }
    }

    /// The same by way of an organisation, which an application names by itself.
    pub(super) fn at(self, slug: &str) -> Self {
        Self { organization: Some(slug.to_owned()).filter(|_| self.request.is_none()), ..self }
    }

    /// The same without the organisation, where a form asks for that itself.
    pub(super) fn elsewhere(self) -> Self {
        Self { organization: None, ..self }
    }

    /// What an application asked for.
    pub(super) fn asked(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// Taken apart again.
    pub(super) fn parts(self) -> (Option<String>, Option<String>, Option<String>) {
        (self.request, self.organization, self.device)
    }

    /// To what an application asked for.
    pub(super) fn request(request: &str) -> Self {
        Self { request: Some(request.to_owned()), ..Self::default() }
    }

    /// What the fields of a form say of it, whatever else they say; nothing if that is nothing.
    pub(super) fn among(fields: &[(String, String)]) -> Option<Self> {
        let one = |name: &str| fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
        let found =
            Self { request: one("request"), organization: one("organization"), device: one("device") };
        (found.request.is_some() || found.device.is_some()).then_some(found)
    }

    /// As the parameters of a link.
    pub(super) fn query(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    /// As fields of a form.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let all =
            [("request", &self.request), ("organization", &self.organization), ("device", &self.device)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

/// Somebody signs in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
    email: String,
    password: Password,
}

/// Somebody shows the second half.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondFields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
    ticket: String,
    code: String,
}

#[derive(Template)]
#[template(path = "pages/organisation.html")]
struct WhichOrganisation<'a> {
    frame: Frame<'a>,
    device: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "pages/sign-in.html")]
struct SignInPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    organisation: &'a str,
    client: Option<&'a str>,
    email: &'a str,
    onward: Vec<(&'static str, &'a str)>,
    /// The same as the parameters of a link.
    query: String,
    offers_passkey: bool,
    providers: &'a [(String, String)],
}

#[derive(Template)]
#[template(path = "pages/second-factor.html")]
struct SecondPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    ticket: &'a str,
    onward: Vec<(&'static str, &'a str)>,
    offers_passkey: bool,
}

#[derive(Template)]
#[template(path = "pages/here.html")]
struct Here<'a> {
    frame: Frame<'a>,
    email: &'a str,
    organisation: &'a str,
    /// Whether they can set one up.
    offers_passkey: bool,
    /// Whether they can set an authenticator up.
    offers_totp: bool,
}

/// Where somebody signs in: the organisation that an application names, or that they do.
pub(super) struct Place {
    /// As people call it, if it is known whether it is there.
    pub(super) name: String,
    pub(super) slug: String,
    /// What the application asks.
    pub(super) asked: Option<Asked>,
}

impl Place {
    /// Where `onward` leads through; nothing if it names no organisation. What follows is in the language that an application
    /// asks for.
    pub(super) async fn of(
        app: &App,
        visitor: &mut Visitor,
        onward: &Onward,
    ) -> Result<Option<Self>, Problem> {
        if let Some(request) = &onward.request {
            let asked = app.oauth.asked(request).await?;
            visitor.prefers(asked.ui_locales.as_deref());
            let gone = || Problem::new(&code::NOT_FOUND, "");
            let Called { slug, name } =
                app.identity.organisation_called(asked.tenant).await?.ok_or_else(gone)?;
            return Ok(Some(Self { name, slug, asked: Some(asked) }));
        }
        // What was typed is shown as it was: nobody learns here which organisations there are. But nobody has their own words
        // shown under our name: what no organisation can be called is asked for again.
        let named = onward.organization.as_deref().map(|it| it.trim().to_ascii_lowercase());
        let named = named.filter(|it| Slug::parse(it).is_ok());
        Ok(named.map(|slug| Self { name: slug.clone(), slug, asked: None }))
    }
}

/// `GET /sign-in`
pub(super) async fn show(
    State(app): State<App>,
    mut visitor: Visitor,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    let Some(place) = Place::of(&app, &mut visitor, &onward).await? else {
        let Some(signed_in) = &visitor.signed_in else {
            let template = WhichOrganisation { frame: visitor.frame(), device: onward.device.as_deref() };
            return page(&visitor, StatusCode::OK, false, &template);
        };
        return match &onward.device {
            Some(_) => Ok(see_other(&visitor, &device_path(&onward))),
            None => here(&app, &visitor, signed_in).await,
        };
    };
    if let Some(asked) = &place.asked {
        match app.oauth.next(asked, visitor.who()).await? {
            Next::SignIn => {
                // They are here again because of what they did not show, so they are told.
                let again = lacking_proof(&app, &visitor, asked).await?;
                return form(&app, &visitor, &onward, &place, None, again.as_ref()).await;
            }
            Next::Enrol => return Ok(to_set_up(&visitor, &onward)),
            Next::Consent => return Ok(to_consent(&visitor, asked)),
            Next::Back(url) => return leaving(&visitor, &url),
        }
    }
    form(&app, &visitor, &onward, &place, None, None).await
}

/// What is said to somebody who is signed in where they are wanted, but showed no second factor though they have one.
async fn lacking_proof(app: &App, visitor: &Visitor, asked: &Asked) -> Result<Option<Told>, Problem> {
    let Some(who) = visitor.who().filter(|it| it.tenant == asked.tenant) else { return Ok(None) };
    let lacks = app.identity.lacks(who).await?;
    let missing = || Refusal::from(GateError::SecondFactorMissing).into();
    Ok((lacks == Some(Lacks::Proof)).then(|| Told::of(missing(), visitor.language)))
}

/// `POST /sign-in`
pub(super) async fn sign_in(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<Fields>,
) -> Result<Response, Problem> {
    let Fields { request, organization, device, email, password } = fields;
    let onward = Onward { request, organization, device };
    let odd = || Problem::new(&code::MISSING_FIELD, "organization");
    let place = Place::of(&app, &mut visitor, &onward).await?.ok_or_else(odd)?;
    let again = async |problem| {
        let told = Told::of(problem, visitor.language);
        form(&app, &visitor, &onward, &place, Some(&email), Some(&told)).await
    };
    let Ok(address) = EmailAddress::parse(&email) else {
        return again(Problem::new(&code::EMAIL_MALFORMED, "")).await;
    };
    let tenant_slug = place.slug.clone();
    let asked = SignIn { tenant_slug, email: address, password, device: visitor.device.clone() };
    match app.identity.sign_in(asked, &visitor.origin).await {
        Ok(done) => enters(&app, &visitor, &onward, &done.tokens.refresh, Some(&done.device)).await,
        Err(problem) => match ticket(&problem) {
            Some(ticket) => second(&app, &visitor, &onward, &ticket, None).await,
            None => again(problem).await,
        },
    }
}

/// `POST /sign-in/second-factor`
pub(super) async fn second_factor(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<SecondFields>,
) -> Result<Response, Problem> {
    let SecondFields { request, organization, device, ticket, code } = fields;
    let onward = Onward { request, organization, device };
    Place::of(&app, &mut visitor, &onward).await?;
    let digits = code.chars().filter(|it| !it.is_whitespace());
    let is_code = digits.clone().count() == CODE_DIGITS && digits.clone().all(|it| it.is_ascii_digit());
    let proof = if is_code {
        Proof::Code(digits.collect::<String>().into())
    } else {
        Proof::RecoveryCode(code.clone().into())
    };
    let shown = SecondHalf { ticket: ticket.clone().into(), proof };
    match app.identity.sign_in_with_factor(shown, &visitor.origin).await {
        Ok(done) => enters(&app, &visitor, &onward, &done.tokens.refresh, Some(&done.device)).await,
        Err(problem) => {
            let told = Told::of(problem, visitor.language);
            second(&app, &visitor, &onward, &ticket, Some(&told)).await
        }
    }
}

/// The ticket with which somebody shows the second half, if that is what a problem asks for.
pub(super) fn ticket(problem: &Problem) -> Option<String> {
    let ProblemBody { code, details, .. } = problem.body();
    (code == "identity.second-factor-required").then(|| details.get("ticket").cloned()).flatten()
}

/// The form of the first half.
pub(super) async fn form(
    app: &App,
    visitor: &Visitor,
    onward: &Onward,
    place: &Place,
    email: Option<&str>,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let hint = place.asked.as_ref().and_then(|it| it.login_hint.as_deref());
    let frame = visitor.frame();
    let offers_passkey = passkey::are_possible(app);
    let template = SignInPage {
        frame,
        told,
        organisation: &place.name,
        client: place.asked.as_ref().map(|it| &*it.client),
        email: email.or(hint).unwrap_or_default(),
        onward: onward.fields(),
        query: onward.query(),
        offers_passkey,
        providers: &providers(app, onward, place).await?,
    };
    refused_page(visitor, told, offers_passkey, &template)
}

/// The form of the second half.
pub(super) async fn second(
    app: &App,
    visitor: &Visitor,
    onward: &Onward,
    ticket: &str,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let frame = visitor.frame();
    let offers_passkey =
        passkey::are_possible(app) && app.identity.goes_on_with_passkey(&ticket.to_owned().into()).await?;
    let template = SecondPage { frame, told, ticket, onward: onward.fields(), offers_passkey };
    refused_page(visitor, told, offers_passkey, &template)
}

/// With whom else somebody can sign in: what it is called, and the link.
async fn providers(app: &App, onward: &Onward, place: &Place) -> Result<Vec<(String, String)>, Problem> {
    let tenant = match &place.asked {
        Some(asked) => asked.tenant,
        None => app.identity.organisation(&place.slug).await?,
    };
    let all = app.identity.provider_choices(tenant).await?;
    let link = |name: &str| {
        let name = serde_urlencoded::to_string([("provider", name)]).unwrap_or_default();
        format!("/sign-in/with?{name}&{}", onward.query())
    };
    Ok(all.into_iter().map(|(_, it)| (it.title.to_string(), link(&it.name.to_string()))).collect())
}

/// Somebody signed in: their browser stands for the new session from now on, and no more for the one before. Then they go on.
pub(super) async fn enters(
    app: &App,
    visitor: &Visitor,
    onward: &Onward,
    refresh: &SecretString,
    device: Option<&str>,
) -> Result<Response, Problem> {
    let (text, who) = app.identity.keep_in_browser(refresh).await?;
    if let Some(before) = &visitor.browser {
        app.identity.leave_browser(before, &visitor.origin).await?;
    }
    let mut response = onwards(app, visitor, onward, who).await?;
    let cookies = [
        visitor.cookie(BROWSER, text.expose_secret(), None),
        device.and_then(|it| visitor.cookie(DEVICE, it, Some(KNOWN_FOR.num_seconds()))),
    ];
    response.headers_mut().extend(cookies.into_iter().flatten().map(|it| (SET_COOKIE, it)));
    Ok(response)
}

/// Where somebody goes who is signed in.
async fn onwards(app: &App, visitor: &Visitor, onward: &Onward, who: InSession) -> Result<Response, Problem> {
    if let Some(request) = &onward.request {
        let asked = app.oauth.asked(request).await?;
        return match app.oauth.next(&asked, Some(who)).await? {
            Next::SignIn => Ok(see_other(visitor, &format!("/sign-in?{}", onward.query()))),
            Next::Enrol => Ok(to_set_up(visitor, onward)),
            Next::Consent => Ok(to_consent(visitor, &asked)),
            Next::Back(url) => leaving(visitor, &url),
        };
    }
    match app.identity.lacks(who).await? {
        Some(Lacks::Factor) => Ok(to_set_up(visitor, onward)),
        Some(Lacks::Proof) | None => Ok(see_other(visitor, &path_of(onward))),
    }
}

/// Where somebody sets up the second factor that their organisation asks for, before they go on.
pub(super) fn to_set_up(visitor: &Visitor, onward: &Onward) -> Response {
    see_other(visitor, &format!("/second-factor/set-up?{}", onward.clone().elsewhere().query()))
}

fn to_consent(visitor: &Visitor, asked: &Asked) -> Response {
    see_other(visitor, &format!("/consent?{}", Onward::request(&asked.request).query()))
}

/// Where that is, for whoever is signed in.
pub(super) fn path_of(onward: &Onward) -> String {
    match (&onward.request, &onward.device) {
        (Some(request), _) => format!("/sign-in?{}", Onward::request(request).query()),
        (None, Some(_)) => device_path(onward),
        (None, None) => "/sign-in".to_owned(),
    }
}

fn device_path(onward: &Onward) -> String {
    let code = onward.device.as_deref().filter(|it| !it.is_empty());
    let code = code.and_then(|it| serde_urlencoded::to_string([("user_code", it)]).ok());
    code.map_or_else(|| "/device".to_owned(), |it| format!("/device?{it}"))
}

/// Who is signed in, and what they can do here.
async fn here(app: &App, visitor: &Visitor, signed_in: &InBrowser) -> Result<Response, Problem> {
    let Known { email, organisation, .. } = known(app, signed_in.who).await?;
    let (frame, who) = (visitor.frame(), signed_in.who);
    let may_enrol = app.identity.may_enrol(who.tenant).await?;
    let offers_passkey = may_enrol && passkey::are_possible(app);
    let offers_totp = may_enrol && app.identity.factors(who.tenant, who.user).await?.totp.is_none();
    let template = Here { frame, email: &email, organisation: &organisation, offers_passkey, offers_totp };
    page(visitor, StatusCode::OK, offers_passkey, &template)
}

/// How somebody who is signed in is shown to themselves.
pub(super) struct Known {
    pub(super) email: String,
    pub(super) organisation: String,
    /// The short name of that.
    pub(super) slug: String,
}

/// Their address and the names of their organisation.
pub(super) async fn known(app: &App, who: InSession) -> Result<Known, Problem> {
    let email = app.identity.address(who).await?.unwrap_or_default();
    let called = app.identity.organisation_called(who.tenant).await?;
    let (organisation, slug) = called.map(|it| (it.name, it.slug)).unwrap_or_default();
    Ok(Known { email, organisation, slug })
}

/// The form of the first half, for somebody who is signed in and must show once more who they are: `problem` says so.
pub(super) async fn prove_again(
    app: &App,
    visitor: &Visitor,
    onward: Onward,
    who: InSession,
    problem: Problem,
) -> Result<Response, Problem> {
    let Known { email, organisation, slug } = known(app, who).await?;
    let onward = onward.at(&slug);
    let place = Place { name: organisation, slug, asked: None };
    let told = Told::of(problem, visitor.language);
    form(app, visitor, &onward, &place, Some(&email), Some(&told)).await
}

/// Where somebody signs in who is not signed in and wants to go on to something.
pub(super) fn sign_in_first(visitor: &Visitor, onward: &Onward) -> Response {
    see_other(visitor, &format!("/sign-in?{}", onward.query()))
}

/// A moment, as people of a language write it.
pub(super) fn moment(at: DateTime<Utc>, language: Language) -> String {
    let form = match language {
        Language::En => "%-d %B %Y, %H:%M:%S UTC",
        Language::De => "%d.%m.%Y, %H:%M:%S UTC",
    };
    at.format(form).to_string()
}
