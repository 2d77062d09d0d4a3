//! Whole sign-ins against a provider on loopback that says whatever a test lets it say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::federation::Issuer;
use domain::metadata::Label;
use domain::words::{Scope, Word};
use serde_json::{Value, json};
use service_kit::outgoing::OutgoingConfig;
use tokio::net::TcpListener;

use super::id_token::tests::{NOW, Pair, claims, ed25519, signed};
use super::*;

pub(super) fn settings(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        name: Word::of("corp"),
        title: Label::parse("The company").unwrap(),
        kind: OIDC,
        issuer: Issuer::parse(issuer).unwrap(),
        client_id: Label::parse("quipu").unwrap(),
        incomplete: false,
        scopes: vec![Scope::of("email")],
        trusted_domains: vec![],
        trusts_every_domain: false,
        keeps_tokens: false,
        return_uris: vec![],
        secret_id: None,
    }
}

/// A request as the provider got it.
#[derive(Debug, Clone)]
struct Asked {
    path: String,
    authorization: String,
    form: HashMap<String, String>,
}

#[derive(Default)]
struct Script {
    says: HashMap<String, (u16, Value)>,
    asked: Vec<Asked>,
}

/// A provider that says what it is told to.
struct Op {
    issuer: String,
    script: Arc<Mutex<Script>>,
}

impl Op {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, script }
    }

    /// One that publishes itself and a key.
    async fn with_key(pair: &Pair) -> Self {
        let op = Self::start().await;
        op.says("/.well-known/openid-configuration", 200, op.document());
        op.says("/keys", 200, json!({ "keys": [{ "kty": "new", "kid": "x" }, pair.jwk] }));
        op
    }

    fn document(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/me"),
            "response_types_supported": ["code"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn says(&self, path: &str, status: u16, body: Value) {
        self.script.lock().unwrap().says.insert(path.to_owned(), (status, body));
    }

    fn asked(&self, path: &str) -> Vec<Asked> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|it| it.path == path).cloned().collect()
    }

    fn settings(&self) -> ProviderSettings {
        settings(&self.issuer)
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    let authorization = headers.get(header::AUTHORIZATION).map(|it| it.to_str().unwrap().to_owned());
    script.asked.push(Asked {
        path: uri.path().to_owned(),
        authorization: authorization.unwrap_or_default(),
        form: serde_urlencoded::from_bytes(&body).unwrap_or_default(),
    });
    let (status, body) = script.says.get(uri.path()).cloned().unwrap_or((404, json!({})));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn federation() -> Federation {
    service_kit::install_crypto();
    let allowed = OutgoingConfig { outgoing_allow: vec!["127.0.0.0/8".parse().unwrap()] };
    Federation::new(Outgoing::new(&allowed).unwrap())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

/// The parameters that a browser is sent to the provider with.
fn sent(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn came_back(op: &Op) -> Callback {
    let query =
        serde_urlencoded::to_string([("code", "the code"), ("state", "s"), ("iss", op.issuer.as_str())]);
    Callback::parse(&query.unwrap()).unwrap()
}

/// One sign-in, in which the provider says `token` of what it was asked with.
async fn sign_in(
    op: &Op,
    federation: &Federation,
    settings: &ProviderSettings,
    token: impl FnOnce(&str) -> Value,
) -> Result<Person, ProviderError> {
    let (url, pending) = federation.begin(settings, "s", "https://quipu.example/back", None).await?;
    op.says("/token", 200, token(&sent(&url)["nonce"]));
    federation.finish(settings, None, &pending, &came_back(op), now()).await.map(|it| it.person)
}

fn bearer(id_token: &str) -> Value {
    json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token })
}

#[tokio::test]
async fn a_sign_in_goes_from_the_provider_and_back() {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), op.settings());
    let (url, pending) = federation.begin(&settings, "s", "https://quipu.example/back", None).await.unwrap();
    let sent = sent(&url);
    assert!(url.as_str().starts_with(&format!("{}/auth?", op.issuer)));
    assert_eq!((sent["state"].as_str(), sent["scope"].as_str()), ("s", "openid email"));
    op.says("/token", 200, bearer(&signed(&pair, &claims(&op.issuer, &sent["nonce"], NOW))));

    let secret = SecretString::from("our:secret");
    let person =
        federation.finish(&settings, Some(&secret), &pending, &came_back(&op), now()).await.unwrap().person;
    assert_eq!(person.subject, "248289761001");
    assert!(person.address.as_ref().unwrap().is_verified);
    assert_eq!(person.label.as_deref(), Some("ann@example.com"));

    let asked = op.asked("/token").remove(0);
    let verifier =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, asked.form["code_verifier"].as_bytes());
    assert_eq!(sent["code_challenge"], URL_SAFE_NO_PAD.encode(verifier));
    assert_eq!(asked.form["code"], "the code");
    assert_eq!(asked.form["redirect_uri"], "https://quipu.example/back");
    assert_eq!(asked.authorization, format!("Basic {}", STANDARD.encode("quipu:our%3Asecret")));
    assert!(!asked.form.contains_key("client_secret"));
}

/// When somebody showed a provider of this kind who they are, of which its token says `told`; `anew` if they had to do it anew.
async fn shown(kind: Word, anew: bool, told: Option<i64>) -> Result<Shown, ProviderError> {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), ProviderSettings { kind, ..op.settings() });
    let since = anew.then(now);
    let (url, pending) = federation.begin(&settings, "s", "https://quipu.example/back", since).await?;
    let sent = sent(&url);
    assert_eq!(sent.contains_key("prompt"), anew, "{url}");
    assert!(sent.contains_key("max_age") || sent.contains_key("claims"), "it is asked to say when: {url}");
    let mut claims = claims(&op.issuer, &sent["nonce"], NOW);
    claims["tid"] = json!("9188040d-6c67-4c5b-b112-36a304b66dad");
    claims["oid"] = json!("00000000-0000-0000-66f3-3332eca7ea81");
    claims["auth_time"] = json!(told);
    op.says("/token", 200, bearer(&signed(&pair, &claims)));
    federation.finish(&settings, None, &pending, &came_back(&op), now()).await.map(|it| it.shown)
}

#[tokio::test]
async fn a_provider_is_asked_when_somebody_showed_who_they_are_and_what_it_says_counts() {
    let hour_ago = NOW - 3_600;
    for kind in [OIDC, MICROSOFT, GOOGLE] {
        let then = Shown::At(DateTime::from_timestamp(hour_ago, 0).unwrap());
        assert_eq!(shown(kind.clone(), false, Some(hour_ago)).await.unwrap(), then, "{kind}");
        assert_eq!(shown(kind.clone(), true, Some(NOW)).await.unwrap(), Shown::At(now()), "{kind}");
        let stale = shown(kind.clone(), true, Some(hour_ago)).await;
        assert!(matches!(stale, Err(ProviderError::NotFresh)), "{kind} {stale:?}");
        let odd = shown(kind, false, Some(NOW + 3_600)).await;
        assert!(matches!(odd, Err(ProviderError::Invalid(Invalid::AuthTime))), "{odd:?}");
    }
    assert_eq!(shown(OIDC, false, None).await.unwrap(), Shown::Withheld);
    assert!(matches!(shown(OIDC, true, None).await, Err(ProviderError::NotFresh)));
    for kind in [MICROSOFT, GOOGLE] {
        assert_eq!(shown(kind.clone(), true, None).await.unwrap(), Shown::Untold, "{kind}");
    }
}

#[tokio::test]
async fn what_a_provider_publishes_is_read_once() {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), op.settings());
    for _ in 0..3 {
        let token = |nonce: &str| bearer(&signed(&pair, &claims(&op.issuer, nonce, NOW)));
        sign_in(&op, &federation, &settings, token).await.unwrap();
    }
    assert_eq!((op.asked("/.well-known/openid-configuration").len(), op.asked("/keys").len()), (1, 1));
    // A key that is not published does not make us ask again and again.
    let stranger = ed25519("b");
    for _ in 0..3 {
        let token = |nonce: &str| bearer(&signed(&stranger, &claims(&op.issuer, nonce, NOW)));
        let told = sign_in(&op, &federation, &settings, token).await;
        assert!(matches!(told, Err(ProviderError::Invalid(Invalid::KeyUnknown))), "{told:?}");
    }
    assert_eq!(op.asked("/keys").len(), 1);
}

#[tokio::test]
async fn a_token_of_another_sign_in_or_key_is_refused() {
    let (pair, stranger) = (ed25519("a"), ed25519("a"));
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), op.settings());
    let told =
        sign_in(&op, &federation, &settings, |_| bearer(&signed(&pair, &claims(&op.issuer, "old", NOW))))
            .await;
    assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Nonce))), "{told:?}");
    let told =
        sign_in(&op, &federation, &settings, |it| bearer(&signed(&stranger, &claims(&op.issuer, it, NOW))))
            .await;
    assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Signature))), "{told:?}");
    let told =
        sign_in(&op, &federation, &settings, |_| json!({ "access_token": "at", "token_type": "Bearer" }))
            .await;
    assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Malformed(_)))), "{told:?}");
}

#[tokio::test]
async fn keys_that_are_secrets_for_encryption_or_two_of_one_name_verify_nothing() {
    let pair = ed25519("a");
    let other = ed25519("a");
    let mut encryption = pair.jwk.clone();
    encryption["use"] = json!("enc");
    let mut of_another_algorithm = pair.jwk.clone();
    of_another_algorithm["alg"] = json!("ES256");
    let secret = json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256" });
    for keys in [
        json!([]),
        json!([encryption]),
        json!([secret]),
        json!([of_another_algorithm]),
        json!([pair.jwk, other.jwk]),
    ] {
        let op = Op::with_key(&pair).await;
        op.says("/keys", 200, json!({ "keys": keys }));
        let token = |nonce: &str| bearer(&signed(&pair, &claims(&op.issuer, nonce, NOW)));
        let told = sign_in(&op, &federation(), &op.settings(), token).await;
        assert!(matches!(told, Err(ProviderError::Invalid(Invalid::KeyUnknown))), "{keys}: {told:?}");
    }
}

#[tokio::test]
async fn a_provider_asked_beside_the_token_speaks_of_the_same_person() {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), op.settings());
    let token = |nonce: &str| {
        let mut claims = claims(&op.issuer, nonce, NOW);
        claims.as_object_mut().unwrap().remove("email");
        bearer(&signed(&pair, &claims))
    };
    op.says(
        "/me",
        200,
        json!({ "sub": "248289761001", "email": "ann@example.com", "email_verified": "true" }),
    );
    let person = sign_in(&op, &federation, &settings, token).await.unwrap();
    assert!(person.address.unwrap().is_verified);
    assert_eq!(op.asked("/me").remove(0).authorization, "Bearer at");
    op.says("/me", 200, json!({ "sub": "1", "email": "boss@example.com", "email_verified": true }));
    let told = sign_in(&op, &federation, &settings, token).await;
    assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Subject))), "{told:?}");
}

#[tokio::test]
async fn a_callback_of_another_issuer_exchanges_nothing() {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let (federation, settings) = (federation(), op.settings());
    let (_, pending) = federation.begin(&settings, "s", "https://quipu.example/back", None).await.unwrap();
    for query in ["code=c&state=s", "code=c&state=s&iss=https%3A%2F%2Fevil.example"] {
        let told =
            federation.finish(&settings, None, &pending, &Callback::parse(query).unwrap(), now()).await;
        assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Issuer))), "{told:?}");
    }
    assert!(op.asked("/token").is_empty());
}

#[tokio::test]
async fn a_provider_that_fails_is_unavailable_and_rests() {
    let op = Op::start().await;
    op.says("/.well-known/openid-configuration", 500, json!({}));
    let federation = federation();
    let told = federation.begin(&op.settings(), "s", "https://quipu.example/back", None).await;
    assert!(matches!(told, Err(ProviderError::Status(500))), "{told:?}");
    let told = federation.begin(&op.settings(), "s", "https://quipu.example/back", None).await;
    assert!(matches!(told, Err(ProviderError::Resting)), "{told:?}");
    assert_eq!(op.asked("/.well-known/openid-configuration").len(), 1);
}

#[tokio::test]
async fn noauth_microsoft_identities_are_directory_and_object() {
    let pair = ed25519("a");
    let op = Op::with_key(&pair).await;
    let settings = ProviderSettings { kind: MICROSOFT, ..op.settings() };
    let (directory, object) =
        ("9188040d-6c67-4c5b-b112-36a304b66dad", "00000000-0000-0000-66f3-3332eca7ea81");
    let federation = federation();
    let token = |change: fn(&mut Value)| {
        let (pair, issuer) = (&pair, &op.issuer);
        move |nonce: &str| {
            let mut claims = claims(issuer, nonce, NOW);
            claims["tid"] = json!(directory);
            claims["oid"] = json!(object);
            claims["preferred_username"] = json!("ann@corp.example");
            change(&mut claims);
            bearer(&signed(pair, &claims))
        }
    };
    let person = sign_in(&op, &federation, &settings, token(|_| ())).await.unwrap();
    assert_eq!(person.subject, format!("{directory}/{object}"));
    assert_eq!(person.label.as_deref(), Some("ann@corp.example"));
    assert!(!person.address.unwrap().is_verified, "an address in a token proves nothing");
    let owned = sign_in(&op, &federation, &settings, token(|it| it["xms_edov"] = json!(true))).await.unwrap();
    assert!(owned.address.unwrap().is_verified);
    let nameless: [fn(&mut Value); 3] =
        [|it| it["oid"] = json!(""), |it| it["tid"] = Value::Null, |it| it["oid"] = json!("../x")];
    for change in nameless {
        let told = sign_in(&op, &federation, &settings, token(change)).await;
        assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Malformed(_)))), "{told:?}");
    }
}

async fn github(op: &Op) -> Result<Person, ProviderError> {
    let settings = ProviderSettings { kind: GITHUB, scopes: vec![Scope::of("user:email")], ..op.settings() };
    let federation = federation();
    let (url, pending) = federation.begin(&settings, "s", "https://quipu.example/back", None).await?;
    let sent = sent(&url);
    assert!(url.as_str().starts_with(&format!("{}/login/oauth/authorize?", op.issuer)));
    assert_eq!((sent["scope"].as_str(), sent["code_challenge_method"].as_str()), ("user:email", "S256"));
    assert!(!sent.contains_key("nonce"));
    let secret = SecretString::from("ours");
    let callback = Callback::parse("code=c&state=s").unwrap();
    federation.finish(&settings, Some(&secret), &pending, &callback, now()).await.map(|it| it.person)
}

const GITHUB_TOKEN: &str = "/login/oauth/access_token";

#[tokio::test]
async fn github_is_asked_who_somebody_is() {
    let op = Op::start().await;
    op.says(
        GITHUB_TOKEN,
        200,
        json!({ "access_token": "gho", "token_type": "bearer", "scope": "user:email" }),
    );
    op.says("/api/v3/user", 200, json!({ "id": 583_231, "login": "octocat", "email": "public@example.com" }));
    let mails = json!([
        { "email": "old@example.com", "primary": false, "verified": true },
        { "email": "cat@example.com", "primary": true, "verified": true },
    ]);
    op.says("/api/v3/user/emails", 200, mails);
    let person = github(&op).await.unwrap();
    assert_eq!((person.subject.as_str(), person.label.as_deref()), ("583231", Some("octocat")));
    assert_eq!(person.address.unwrap().email.mailbox(), "cat@example.com");
    let asked = op.asked(GITHUB_TOKEN).remove(0);
    assert_eq!((asked.form["client_secret"].as_str(), asked.form["client_id"].as_str()), ("ours", "quipu"));
    assert!(asked.form.contains_key("code_verifier"));
    assert_eq!(op.asked("/api/v3/user").remove(0).authorization, "Bearer gho");
}

#[tokio::test]
async fn github_without_the_scope_for_addresses_tells_none() {
    let op = Op::start().await;
    op.says(GITHUB_TOKEN, 200, json!({ "access_token": "gho", "token_type": "bearer" }));
    op.says("/api/v3/user", 200, json!({ "id": 1, "login": "octocat", "email": "public@example.com" }));
    assert_eq!(github(&op).await.unwrap().address, None);
    op.says("/api/v3/user/emails", 500, json!({}));
    assert!(matches!(github(&op).await, Err(ProviderError::Status(500))));
}

#[tokio::test]
async fn github_errors_in_a_200_are_errors() {
    let op = Op::start().await;
    for (says, expected) in [
        (json!({ "error": "bad_verification_code", "error_description": "x" }), "bad_verification_code"),
        (
            json!({ "error": "redirect_uri_mismatch", "access_token": "gho", "token_type": "bearer" }),
            "redirect_uri_mismatch",
        ),
    ] {
        op.says(GITHUB_TOKEN, 200, says);
        let told = github(&op).await;
        assert!(matches!(told, Err(ProviderError::Refused(it)) if it == expected), "{told:?}");
    }
    op.says(GITHUB_TOKEN, 200, json!({ "access_token": "gho", "token_type": "bearer" }));
    for user in [json!({ "login": "octocat" }), json!({ "id": "7", "login": "octocat" }), json!([])] {
        op.says("/api/v3/user", 200, user);
        assert!(matches!(github(&op).await, Err(ProviderError::Unavailable(_))));
    }
}
