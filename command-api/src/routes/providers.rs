//! The providers with which people of an organisation sign in, and whom they are trusted to vouch for.

use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use domain::Refusal;
use domain::federation::provider::{self, GITHUB, GOOGLE};
use domain::federation::{
    ConfigureProvider, FederationError, Issuer, ProviderSettings, RemoveProvider, ReturnUri, SecretChange,
};
use domain::ids::{ProviderId, SecretId};
use domain::metadata::Label;
use domain::words::{DomainName, Scope, Word};
use event_store::vault::{NewProviderSecret, VaultChange};
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Caller, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::schema::{LabelText, ScopeText, WordText};

/// Bytes of a body.
const BODY_BYTES_MAX: usize = 16 * 1024;
const PROVIDERS: &str = "/v1/providers";

/// Everything about how providers are set up, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read, configure))
        .routes(routes!(reconfigure, remove))
        .routes(routes!(check))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// All of a provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderBody {
    /// Its name in addresses; unique in the organisation.
    #[schema(value_type = WordText, example = "github")]
    name: Word,
    /// Its name for people.
    #[schema(value_type = LabelText, example = "GitHub")]
    title: Label,
    /// How it is talked to: `oidc`, `google`, `microsoft` or `github`. It never changes.
    #[schema(value_type = String, pattern = "^(oidc|google|microsoft|github)$", example = "github")]
    kind: Word,
    /// Who it says that it is, letter by letter; known of `google` and `github`. It never changes.
    #[schema(value_type = Option<String>, example = "https://login.example.com")]
    issuer: Option<Issuer>,
    /// Who we are to it. It is not asked about before somebody signs in, and may be changed. If it is left out, the provider is
    /// there, with its `callback_uri`, and nobody can sign in with it until it is set up anew with one.
    #[schema(value_type = Option<LabelText>)]
    client_id: Option<Label>,
    /// Our secret at it. If it is left out, the one before stays good.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4000, write_only)]
    client_secret: Option<String>,
    /// What it is asked for; what a sign-in needs, if it is left out.
    #[schema(value_type = Option<Vec<ScopeText>>, max_items = 20, example = json!(["read:user", "user:email"]))]
    scopes: Option<Vec<Scope>>,
    /// The domains of whose addresses it is believed. Whoever it vouches for at one of them is let in as the user who has that
    /// verified address, or registered.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["example.com"]))]
    trusted_domains: Vec<DomainName>,
    /// It is believed of the addresses of every domain.
    #[serde(default)]
    trusts_every_domain: bool,
    /// Its tokens for people are kept and kept fresh, so that they can use them: see `readProviderToken`.
    #[serde(default)]
    keeps_tokens: bool,
    /// Where people may be sent when they are through, letter by letter.
    #[schema(value_type = Vec<String>, max_items = 20, example = json!(["https://app.example.com/signed-in"]))]
    return_uris: Vec<ReturnUri>,
}

/// A provider, as an administrator sees it.
#[derive(Serialize, ToSchema)]
pub struct ProviderItem {
    /// Which.
    id: Uuid,
    /// Its name in addresses.
    name: String,
    /// Its name for people.
    title: String,
    /// How it is talked to.
    kind: String,
    /// Who it says that it is.
    issuer: String,
    /// Who we are to it; left out, if it is not known yet: then nobody can sign in with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Whether it knows us by a secret. The secret itself is shown nowhere.
    has_secret: bool,
    /// What it is asked for.
    scopes: Vec<String>,
    /// The domains of whose addresses it is believed.
    trusted_domains: Vec<String>,
    /// It is believed of the addresses of every domain.
    trusts_every_domain: bool,
    /// Its tokens for people are kept.
    keeps_tokens: bool,
    /// Where people may be sent when they are through.
    return_uris: Vec<String>,
    /// Where it must be told to send people back to, if people can reach us.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_uri: Option<String>,
}

/// A provider was set up.
#[derive(Serialize, ToSchema)]
pub struct ProviderMade {
    /// Names it.
    id: Uuid,
    /// Its version.
    #[schema(example = 1)]
    version: i64,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
    /// Where it must be told to send people back to, if people can reach us.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://id.example.org/v1/auth/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e/callback")]
    callback_uri: Option<String>,
}

/// What is told of a provider that was just set up.
#[derive(Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_uri: Option<String>,
}

/// The providers of an organisation.
#[derive(Serialize, ToSchema)]
pub struct ProviderItems {
    /// By name; 100 at most.
    providers: Vec<ProviderItem>,
}

/// Characters of a secret of ours at most.
const SECRET_CHARS_MAX: usize = 4_000;

impl ProviderBody {
    /// What is set, and our secret at the provider if there is another one.
    fn settings(self) -> Result<(ProviderSettings, Option<String>), Problem> {
        let secret = self.client_secret;
        let fits = |it: &String| {
            (1..=SECRET_CHARS_MAX).contains(&it.len()) && it.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        if secret.as_ref().is_some_and(|it| !fits(it)) {
            return Err(field(
                &code::INVALID_FIELD,
                "/client_secret",
                "a secret has 1 to 4000 printable ASCII characters",
            ));
        }
        let issuer = match self.issuer {
            Some(issuer) => issuer,
            None => issuer_of(&self.kind)
                .ok_or_else(|| field(&code::MISSING_FIELD, "/issuer", "it is not known of this kind"))?,
        };
        let settings = ProviderSettings {
            scopes: self.scopes.unwrap_or_else(|| scopes_of(&self.kind)),
            incomplete: self.client_id.is_none(),
            client_id: self.client_id.unwrap_or_else(|| self.title.clone()),
            name: self.name,
            title: self.title,
            kind: self.kind,
            issuer,
            trusted_domains: self.trusted_domains,
            trusts_every_domain: self.trusts_every_domain,
            keeps_tokens: self.keeps_tokens,
            return_uris: self.return_uris,
            secret_id: secret.is_some().then(|| SecretId::new(Uuid::now_v7())),
        };
        Ok((settings, secret))
    }
}

fn issuer_of(kind: &Word) -> Option<Issuer> {
    match kind {
        it if *it == GOOGLE => Issuer::parse("https://accounts.google.com").ok(),
        it if *it == GITHUB => Issuer::parse("https://github.com").ok(),
        _ => None,
    }
}

fn scopes_of(kind: &Word) -> Vec<Scope> {
    if *kind == GITHUB {
        vec![Scope::of("read:user"), Scope::of("user:email")]
    } else {
        vec![Scope::of("openid"), Scope::of("email"), Scope::of("profile")]
    }
}

fn field(what: &service_kit::problem::CodeDoc, pointer: &str, detail: &str) -> Problem {
    let field =
        FieldProblem { pointer: pointer.to_owned(), code: what.code.to_owned(), detail: detail.to_owned() };
    Problem::new(what, detail).at(field)
}

/// Lists the providers
///
/// All of them as they are set up, but for their secrets. Permission: `federation.read-providers`.
#[utoipa::path(
    get, path = "/v1/providers", tag = "providers", operation_id = "listProviders",
    responses((status = 200, description = "They are these.", body = ProviderItems))
)]
pub async fn read(
    State(app): State<App>,
    allowed: Allowed<permissions::ReadProviders>,
) -> Result<Json<ProviderItems>, Problem> {
    let all = app.identity.providers(allowed.caller().tenant).await?;
    let item = |(id, it): (ProviderId, ProviderSettings)| ProviderItem {
        id: id.uuid(),
        callback_uri: app.providers.callback(id).ok(),
        name: it.name.to_string(),
        title: it.title.to_string(),
        kind: it.kind.to_string(),
        issuer: it.issuer.to_string(),
        client_id: (!it.incomplete).then(|| it.client_id.to_string()),
        has_secret: it.secret_id.is_some(),
        scopes: it.scopes.iter().map(ToString::to_string).collect(),
        trusted_domains: it.trusted_domains.iter().map(ToString::to_string).collect(),
        trusts_every_domain: it.trusts_every_domain,
        keeps_tokens: it.keeps_tokens,
        return_uris: it.return_uris.iter().map(ToString::to_string).collect(),
    };
    Ok(Json(ProviderItems { providers: all.into_iter().map(item).collect() }))
}

/// Sets a provider up
///
/// People can sign in with it at once, if it can be asked: see `checkProvider`. Where it gives `client_id` and secret only for an
/// address to send people back to, leave both out, register the `callback_uri` of the answer there, and set it up anew with what it
/// gives (`reconfigureProvider`): until then it is offered to nobody. Whoever sets it up can be anybody whom it is trusted to vouch
/// for. Permission: `federation.manage-providers`.
#[utoipa::path(
    post, path = "/v1/providers", tag = "providers", operation_id = "configureProvider",
    request_body(content = ProviderBody, example = json!({
        "name": "github", "title": "GitHub", "kind": "github", "client_id": "Iv1.0123456789abcdef",
        "client_secret": "...", "trusted_domains": [], "return_uris": ["https://app.example.com/signed-in"]
    })),
    responses(
        (status = 201, description = "It is set up.", body = ProviderMade),
        (status = 409, description = "The name is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The name is reserved, or a list is too long.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn configure(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageProviders>,
    Json(body): Json<ProviderBody>,
) -> Result<Response, Problem> {
    let id = ProviderId::new(Uuid::now_v7());
    let together = set_up(&app, allowed.caller(), id, body, SecretChange::Set)?;
    let shown = Shown { callback_uri: app.providers.callback(id).ok() };
    app.run_showing(&allowed, None, provider::stream(id), PROVIDERS, together, shown).await
}

/// Sets a provider up anew
///
/// All of it, but for the secret, which stays if it is left out. Kind and issuer never change. Permission:
/// `federation.manage-providers`.
#[utoipa::path(
    put, path = "/v1/providers/{id}", tag = "providers", operation_id = "reconfigureProvider",
    params(("id" = Uuid, Path, description = "The provider")),
    request_body(content = ProviderBody, example = json!({
        "name": "github", "title": "GitHub", "kind": "github", "client_id": "Iv1.0123456789abcdef",
        "client_secret": "...", "trusted_domains": [], "return_uris": ["https://app.example.com/signed-in"]
    })),
    responses(
        (status = 200, description = "It is set up so.", body = Accepted),
        (status = 404, description = "There is no such provider.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or something would change that never does.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The name is reserved, or a list is too long.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reconfigure(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageProviders>,
    Path(provider): Path<ProviderId>,
    Json(body): Json<ProviderBody>,
) -> Result<Response, Problem> {
    if app.identity.provider(allowed.caller().tenant, provider).await?.is_none() {
        return Err(Refusal::from(FederationError::ProviderNotFound { provider_id: provider }).into());
    }
    let secret = if body.client_secret.is_some() { SecretChange::Set } else { SecretChange::Keep };
    let together = set_up(&app, allowed.caller(), provider, body, secret)?;
    app.run_together(&allowed, None, PROVIDERS, together).await
}

/// What sets a provider up.
fn set_up(
    app: &App,
    caller: &Caller,
    provider_id: ProviderId,
    body: ProviderBody,
    secret: SecretChange,
) -> Result<Together<1>, Problem> {
    let (settings, text) = body.settings()?;
    let kept = match (settings.secret_id, text) {
        (Some(secret), Some(text)) => {
            let sealed = NewProviderSecret::seal(caller.tenant, provider_id, secret, &text, &app.master);
            Some(VaultChange::PutProviderSecret(sealed.map_err(|error| Problem::fault(&error))?))
        }
        _ => None,
    };
    // Whoever sets it up can be anybody whom it is trusted to vouch for.
    let command = caller.making_a_way_in(Box::new(ConfigureProvider { provider_id, settings, secret }));
    Ok(Together { commands: [Box::new(command)], vault: kept.into_iter().collect() })
}

/// Whether a provider can be asked.
#[derive(Serialize, ToSchema)]
pub struct Checked {
    /// Whether it answers, is who it is set up as, and publishes keys.
    reachable: bool,
    /// What keeps people from signing in with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        pattern = "^(address-not-allowed|unreachable|too-slow|busy|misconfigured|answer-not-understood)$",
        example = "unreachable"
    )]
    reason: Option<&'static str>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "the server cannot be reached")]
    detail: Option<String>,
}

/// Looks whether a provider can be asked
///
/// Reads anew what it publishes of itself, and its keys; of `github`, which publishes neither, nothing is asked. Whether it knows us
/// by id and secret only a sign-in shows. Nothing is changed. After a failure it is asked again after five seconds: until then it is
/// `busy`. Permission: `federation.manage-providers`.
#[utoipa::path(
    post, path = "/v1/providers/{id}/check", tag = "providers", operation_id = "checkProvider",
    params(("id" = Uuid, Path, description = "The provider")),
    responses(
        (status = 200, description = "It can be asked, or not.", body = Checked, example = json!({
            "reachable": false, "reason": "misconfigured", "detail": "the provider says that it is another issuer"
        })),
        (status = 404, description = "There is no such provider.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn check(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageProviders>,
    Path(provider): Path<ProviderId>,
) -> Result<Json<Checked>, Problem> {
    let tenant = allowed.caller().tenant;
    let settings = app.identity.provider(tenant, provider).await?;
    let unknown = || Refusal::from(FederationError::ProviderNotFound { provider_id: provider });
    let checked = app.providers.check(tenant, provider, &settings.ok_or_else(unknown)?).await;
    let (reason, detail) = checked.err().unzip();
    Ok(Json(Checked { reachable: reason.is_none(), reason, detail }))
}

/// Removes a provider
///
/// Nobody signs in with it any more; who was linked stays a user. Permission: `federation.manage-providers`.
#[utoipa::path(
    delete, path = "/v1/providers/{id}", tag = "providers", operation_id = "removeProvider",
    params(("id" = Uuid, Path, description = "The provider")),
    responses(
        (status = 200, description = "It is removed.", body = Accepted),
        (status = 404, description = "There is no such provider.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageProviders>,
    Path(provider_id): Path<ProviderId>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let vault = vec![VaultChange::DropProvider { tenant, provider: provider_id }];
    let together = Together { commands: [Box::new(RemoveProvider { provider_id })], vault };
    app.run_together(&allowed, None, PROVIDERS, together).await
}
