//! Forgeries of every kind that is known to have worked somewhere, each refused; and what must be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::keys::der_of_pem;
use super::verify::Generations;
use super::*;
use crate::config::{KeyConfig, TokenMode, read_private};

pub(crate) struct Keys {
    pub(crate) signer: Signer,
    pub(crate) verifier: Verifier,
    pub(crate) public: PublicKeys,
    pair: Ed25519KeyPair,
    _dir: tempfile::TempDir,
}

pub(crate) fn keys() -> Keys {
    let dir = tempfile::tempdir().unwrap();
    let config = KeyConfig::at(dir.path());
    generate_keys(&config).unwrap();
    let der = der_of_pem(&read_private(&config.signing_pem()).unwrap()).unwrap();
    Keys {
        signer: Signer::load(&config, &TokenConfig::default()).unwrap(),
        verifier: Verifier::load(&config, &TokenConfig::default()).unwrap(),
        public: PublicKeys::load(&config).unwrap(),
        pair: Ed25519KeyPair::from_pkcs8(&der).unwrap(),
        _dir: dir,
    }
}

pub(crate) fn claims(role: Role) -> Claims {
    let now = Utc::now().timestamp();
    let (tenant, actor) = (TenantId::new(Uuid::now_v7()), ActorId::new(Uuid::now_v7()));
    let config = TokenConfig::default();
    let claims = Claims::new(&config, tenant, actor, TokenId::new(Uuid::now_v7()), now, now + 900);
    Claims { sid: Some(Uuid::now_v7()), ..claims.with_role(role) }
}

impl Keys {
    fn kid(&self) -> &str {
        &self.public.keys[0].kid
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid()})
    }

    /// Signs any header and payload with the true key.
    fn sign(&self, header: &Value, payload: &Value) -> String {
        let text = unsigned(header, payload);
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn hmac(
        &self,
        algorithm: aws_lc_rs::hmac::Algorithm,
        header: &Value,
        payload: &Value,
        secret: &[u8],
    ) -> String {
        let text = unsigned(header, payload);
        let key = aws_lc_rs::hmac::Key::new(algorithm, secret);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes())))
    }
}

fn unsigned(header: &Value, payload: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload.to_string()))
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut it = base.clone();
    it[name] = value;
    it
}

fn without(base: &Value, name: &str) -> Value {
    let mut it = base.clone();
    it.as_object_mut().unwrap().remove(name);
    it
}

/// Headers that lie, signed with the true key.
fn lying_headers(keys: &Keys, good: &Value) -> Vec<(String, String)> {
    let header = keys.header();
    let mut forged = Vec::new();
    let mut add = |name: &str, header: Value| forged.push((name.to_owned(), keys.sign(&header, good)));
    for alg in
        ["none", "None", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "eddsa", "Ed25519"]
    {
        add(&format!("alg {alg}"), with(&header, "alg", json!(alg)));
    }
    for typ in ["JWT", "jwt", "", "refresh+jwt", "reset+jwt", "id+jwt", "AT+JWT", "application/at+jwt"] {
        add(&format!("typ {typ}"), with(&header, "typ", json!(typ)));
    }
    for kid in ["", "../../signing.pem", "/dev/null", "' OR 1=1 --", "other", "\0"] {
        add(&format!("kid {kid:?}"), with(&header, "kid", json!(kid)));
    }
    for name in ["alg", "typ", "kid"] {
        add(&format!("no {name}"), without(&header, name));
        add(&format!("null {name}"), with(&header, name, Value::Null));
        add(&format!("{name} as a list"), with(&header, name, json!(["EdDSA"])));
    }
    let jwk = serde_json::to_value(&keys.public.keys[0]).unwrap();
    add("embedded jwk", with(&header, "jwk", jwk));
    add("jku", with(&header, "jku", json!("https://evil.example/jwks.json")));
    add("x5u", with(&header, "x5u", json!("https://evil.example/x.pem")));
    add("x5c", with(&header, "x5c", json!(["MII"])));
    add("crit", with(&header, "crit", json!(["exp"])));
    add("b64", with(&header, "b64", json!(false)));
    add("zip", with(&header, "zip", json!("DEF")));
    forged
}

/// Claims that are missing, of the wrong type, of another time or for others, signed with the true key.
fn lying_claims(keys: &Keys, good: &Value) -> Vec<(String, String)> {
    let now = Utc::now().timestamp();
    let mut forged = Vec::new();
    let mut add = |name: String, payload: Value| forged.push((name, keys.sign(&keys.header(), &payload)));
    for name in ["iss", "aud", "sub", "tenant_id", "jti", "iat", "exp"] {
        add(format!("no {name}"), without(good, name));
        add(format!("null {name}"), with(good, name, Value::Null));
        add(format!("{name} as an object"), with(good, name, json!({"is": 1})));
        add(format!("{name} as a bool"), with(good, name, json!(true)));
    }
    for name in ["nbf", "sid", "roles", "email", "amr", "auth_time", "scope", "client_id", "secret_id", "act"]
    {
        add(format!("null {name}"), with(good, name, Value::Null));
        add(format!("{name} as an object"), with(good, name, json!({"is": 1})));
        add(format!("{name} as a bool"), with(good, name, json!(true)));
    }
    for name in ["nbf", "sid", "auth_time"] {
        add(format!("{name} as a word"), with(good, name, json!("soon")));
    }
    for name in ["exp", "iat", "nbf"] {
        add(format!("{name} as text"), with(good, name, json!((now + 100).to_string())));
        add(format!("{name} as a fraction"), with(good, name, json!(1.5e9)));
        add(format!("{name} too large"), with(good, name, json!(u64::MAX)));
    }
    add("expired by 6 s".into(), with(&with(good, "exp", json!(now - 6)), "iat", json!(now - 100)));
    add("expired in 1970".into(), with(&with(good, "exp", json!(1)), "iat", json!(0)));
    add("exp negative".into(), with(good, "exp", json!(-1)));
    add("nbf in the future".into(), with(good, "nbf", json!(now + 60)));
    add("iat in the future".into(), with(good, "iat", json!(now + 60)));
    add("ends before it begins".into(), with(good, "exp", json!(now - 1)));
    add("aud of another".into(), with(good, "aud", json!("other-api")));
    add("aud as a list of others".into(), with(good, "aud", json!(["other-api"])));
    add("aud as a list with ours".into(), with(good, "aud", json!(["quipu-api", "other-api"])));
    add("aud empty".into(), with(good, "aud", json!([])));
    add("iss of another".into(), with(good, "iss", json!("https://evil.example")));
    add("iss as a list".into(), with(good, "iss", json!(["quipu"])));
    add("iss longer".into(), with(good, "iss", json!("quipu.evil.example")));
    add("sub not an id".into(), with(good, "sub", json!("admin")));
    add("tenant_id not an id".into(), with(good, "tenant_id", json!("*")));
    add("roles as text".into(), with(good, "roles", json!("owner")));
    add("payload a list".into(), json!([good]));
    forged
}

/// Signatures that are absent, cut, of other keys or of other algorithms.
fn lying_signatures(keys: &Keys, good: &Value) -> Vec<(String, String)> {
    let header = keys.header();
    let real = keys.sign(&header, good);
    let text = unsigned(&header, good);
    let (_, signature) = real.rsplit_once('.').unwrap();
    let none = unsigned(&with(&header, "alg", json!("none")), good);
    let hs = with(&header, "alg", json!("HS256"));
    let public = URL_SAFE_NO_PAD.decode(&keys.public.keys[0].x).unwrap();
    let jwks = serde_json::to_vec(&keys.public).unwrap();
    let stranger = self::keys();
    let mut other_payload = with(good, "roles", json!(["owner"]));
    other_payload["sub"] = json!(Uuid::now_v7());
    let swapped = format!("{}.{signature}", unsigned(&header, &other_payload));
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[0] ^= 1;
    let sha256 = aws_lc_rs::hmac::HMAC_SHA256;
    let mut strange_header = header.clone();
    strange_header["kid"] = json!(stranger.kid());
    [
        ("none without signature", format!("{none}.")),
        ("none with signature", format!("{none}.{signature}")),
        ("two parts", text.clone()),
        ("empty signature", format!("{text}.")),
        ("cut signature", real[..real.len() - 4].to_owned()),
        ("cut by one", real[..real.len() - 1].to_owned()),
        ("longer", format!("{real}AA")),
        ("padded", format!("{real}==")),
        ("four parts", format!("{real}.{signature}")),
        ("flipped bit", format!("{text}.{}", URL_SAFE_NO_PAD.encode(flipped))),
        ("zero signature", format!("{text}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64]))),
        ("signature of another payload", swapped),
        ("HS256 keyed with the public key", keys.hmac(sha256, &hs, good, &public)),
        ("HS256 keyed with the JWKS", keys.hmac(sha256, &hs, good, &jwks)),
        ("HS256 keyed with nothing", keys.hmac(sha256, &hs, good, b"")),
        ("HMAC under alg EdDSA", keys.hmac(sha256, &header, good, &public)),
        ("key of a stranger, our kid", stranger.sign(&header, good)),
        ("key and kid of a stranger", stranger.sign(&strange_header, good)),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("space before", format!(" {real}")),
        ("newline behind", format!("{real}\n")),
        ("standard base64", real.replace('-', "+").replace('_', "/") + "+"),
        ("over the limit", keys.sign(&header, &with(good, "more", json!("x".repeat(TOKEN_BYTES_MAX))))),
    ]
    .map(|(name, token)| (name.to_owned(), token))
    .to_vec()
}

#[test]
fn no_forgery_is_accepted() {
    let keys = keys();
    let good = serde_json::to_value(claims(Role::Owner)).unwrap();
    assert!(
        keys.verifier.verify(&keys.sign(&keys.header(), &good)).is_ok(),
        "the base of the forgeries must be good"
    );
    let all =
        [lying_headers(&keys, &good), lying_claims(&keys, &good), lying_signatures(&keys, &good)].concat();
    assert!(all.len() >= 40);
    let accepted: Vec<_> =
        all.iter().filter(|(_, it)| keys.verifier.verify(it).is_ok()).map(|(name, _)| name).collect();
    assert!(accepted.is_empty(), "{accepted:?} of {}", all.len());
}

#[test]
fn a_minted_token_is_believed_and_remembered() {
    let keys = keys();
    let claims = claims(Role::Member);
    let token = keys.signer.mint(&claims).unwrap();
    assert_eq!(*keys.verifier.verify(&token).unwrap(), claims);
    assert!(keys.verifier.recall(&digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap()).is_some());
    assert_eq!(*keys.verifier.verify(&token).unwrap(), claims);
}

#[test]
fn a_role_of_a_newer_build_grants_nothing_and_breaks_nothing() {
    let keys = keys();
    let payload = with(&serde_json::to_value(claims(Role::Member)).unwrap(), "roles", json!(["auditor"]));
    let claims = keys.verifier.verify(&keys.sign(&keys.header(), &payload)).unwrap();
    assert_eq!(
        (claims.roles.as_slice(), Role::named(&claims.roles[0])),
        (&["auditor".to_owned()] as &[_], None)
    );
}

#[test]
fn what_a_token_may_say_besides_comes_back_as_it_was() {
    let keys = keys();
    let claims = Claims {
        email: Some("ada@example.com".to_owned()),
        amr: Some(vec!["pwd".to_owned(), "otp".to_owned()]),
        auth_time: Some(1),
        scope: Some("openid".to_owned()),
        client_id: Some("a-service".to_owned()),
        act: Some(Act { sub: ActorId::new(Uuid::from_u128(7)) }),
        ..claims(Role::Member)
    };
    assert_eq!(*keys.verifier.verify(&keys.signer.mint(&claims).unwrap()).unwrap(), claims);
    let null = with(&serde_json::to_value(&claims).unwrap(), "act", Value::Null);
    assert_eq!(keys.verifier.verify(&keys.sign(&keys.header(), &null)), Err(TokenError::Invalid));
}

#[test]
fn a_remembered_token_still_expires() {
    let keys = keys();
    let claims = claims(Role::Member);
    let token = keys.signer.mint(&claims).unwrap();
    assert!(keys.verifier.verify(&token).is_ok());
    assert!(keys.verifier.verify_moment(&token, claims.exp + LEEWAY_SECONDS).is_ok());
    assert_eq!(
        keys.verifier.verify_moment(&token, claims.exp + LEEWAY_SECONDS + 1),
        Err(TokenError::Expired)
    );
}

#[test]
fn a_remembered_token_of_a_removed_key_is_refused() {
    let (keys, next) = (keys(), keys());
    let token = keys.signer.mint(&claims(Role::Member)).unwrap();
    let of_next = next.signer.mint(&claims(Role::Member)).unwrap();
    assert!(keys.verifier.verify(&token).is_ok());
    assert!(keys.verifier.verify(&of_next).is_err());
    keys.verifier.believe(&next.public, &[]).unwrap();
    assert!(keys.verifier.verify(&token).is_ok() && keys.verifier.verify(&of_next).is_ok());
    assert_eq!(keys.verifier.public_keys().kids().count(), 2);
    keys.verifier.believe(&PublicKeys::default(), &[]).unwrap();
    assert_eq!(keys.verifier.verify(&of_next), Err(TokenError::Invalid));
    keys.verifier.believe(&next.public, &[keys.kid().to_owned()]).unwrap();
    assert_eq!(keys.verifier.verify(&token), Err(TokenError::Invalid), "even an operator's key");
    assert!(!keys.verifier.believes(keys.kid()) && keys.verifier.believes(next.kid()));
}

#[test]
fn a_signer_takes_the_newest_key_and_goes_back_to_the_operators() {
    let keys = keys();
    let new = NewKey::generate().unwrap();
    let key = || Some(SigningKey::from_pkcs8(new.pkcs8.expose_secret()).unwrap());
    assert_eq!(keys.signer.kid().as_deref(), Some(keys.kid()));
    keys.signer.use_key(key(), &[]);
    assert_eq!(keys.signer.kid().as_deref(), Some(new.kid.as_str()));
    keys.verifier.believe(&PublicKeys::of([&new.public]), &[]).unwrap();
    assert!(keys.verifier.verify(&keys.signer.mint(&claims(Role::Owner)).unwrap()).is_ok());
    keys.signer.use_key(None, &[]);
    assert_eq!(keys.signer.kid().as_deref(), Some(keys.kid()));
    keys.signer.use_key(None, &[keys.kid().to_owned()]);
    assert!(matches!(keys.signer.mint(&claims(Role::Owner)), Err(SignError::NoKey)));
}

fn grant() -> Grant {
    Grant {
        sub: ActorId::new(Uuid::now_v7()),
        tenant_id: TenantId::new(Uuid::now_v7()),
        sid: Some(Uuid::now_v7()),
        email: Some("ada@example.com".to_owned()),
        roles: vec!["owner".to_owned(), "bookkeeper".to_owned()],
        amr: vec!["pwd".to_owned()],
        auth_time: Some(Utc::now()),
        scope: None,
        client_id: None,
        secret_id: None,
        act: None,
    }
}

#[test]
fn an_issued_token_says_what_was_granted_and_lives_no_longer_than_an_hour() {
    let keys = keys();
    let (grant, now) = (grant(), Utc::now());
    let issued = keys.signer.issue(&grant, now, Duration::from_secs(86_400)).unwrap();
    let claims = keys.verifier.verify(&issued.token).unwrap();
    assert_eq!((claims.sub, claims.tenant_id, claims.sid), (grant.sub, grant.tenant_id, grant.sid));
    assert_eq!((claims.jti, claims.exp), (issued.id, issued.expires_at.timestamp()));
    assert_eq!(claims.exp - claims.iat, 3_600);
    assert_eq!((&claims.roles, &claims.email), (&grant.roles, &grant.email));
    assert_eq!(claims.auth_time, grant.auth_time.map(|it| it.timestamp()));
    let short = keys.signer.issue(&grant, now, Duration::from_secs(300)).unwrap();
    assert_eq!(short.expires_at.timestamp(), now.timestamp() + 300);
    for shown in [format!("{claims:?}"), format!("{grant:?}"), format!("{issued:?}")] {
        assert!(!shown.contains("ada@") && !shown.contains(&issued.token), "{shown}");
    }
}

fn shared(dir: &tempfile::TempDir, secret: &str) -> TokenConfig {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.path().join("token.secret");
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    TokenConfig { mode: TokenMode::Hs256, secret_file: Some(path), ..TokenConfig::default() }
}

#[test]
fn with_a_shared_secret_nothing_else_is_believed_and_keys_are_for_id_tokens() {
    let (keys, dir) = (keys(), tempfile::tempdir().unwrap());
    let config = shared(&dir, "0123456789abcdef0123456789abcdef\n");
    let nowhere = KeyConfig::at(dir.path());
    let (signer, verifier) =
        (Signer::of_service(&nowhere, &config).unwrap(), Verifier::load(&nowhere, &config).unwrap());
    let token = signer.mint(&claims(Role::Owner)).unwrap();
    assert!(verifier.verify(&token).is_ok());
    assert!(keys.verifier.verify(&token).is_err(), "where keys sign, no secret does");
    assert!(verifier.verify(&keys.signer.mint(&claims(Role::Owner)).unwrap()).is_err());
    assert_eq!(verifier.public_keys(), PublicKeys::default(), "a secret is not published");
    let id = json!({ "iss": "https://id.example", "aud": "till", "sub": Uuid::from_u128(7) });
    assert!(matches!(signer.sign_id_token(&id), Err(SignError::NoKey)), "not with the secret");

    // Neither the keys of the vault nor a removal of everything change what is believed of access tokens.
    let key = NewKey::generate().unwrap();
    let both = PublicKeys::of([&key.public]).joined(&keys.public, &[]);
    verifier.believe(&both, &[SHARED_KID.to_owned()]).unwrap();
    signer.use_key(Some(SigningKey::from_pkcs8(key.pkcs8.expose_secret()).unwrap()), &[]);
    assert!(verifier.verify(&signer.mint(&claims(Role::Owner)).unwrap()).is_ok());
    assert!(verifier.verify(&keys.signer.mint(&claims(Role::Owner)).unwrap()).is_err());
    assert!(!verifier.believes(&key.kid) && verifier.believes(SHARED_KID));

    // With them services verify ID tokens, which are no access tokens.
    assert!(verifier.public_keys().kids().any(|it| it == key.kid));
    let signed = signer.sign_id_token(&id).unwrap();
    let hint = verifier.verify_id_token(&signed, "https://id.example").unwrap();
    assert_eq!((hint.aud.as_str(), hint.sub), ("till", Uuid::from_u128(7)));
    assert!(verifier.verify(&signed).is_err());
    assert!(verifier.verify_id_token(&token, "https://id.example").is_none());

    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": SHARED_KID});
    let good = serde_json::to_value(claims(Role::Owner)).unwrap();
    let secret = b"0123456789abcdef0123456789abcdef";
    let hmac = |algorithm, header: &Value| keys.hmac(algorithm, header, &good, secret);
    assert!(verifier.verify(&hmac(aws_lc_rs::hmac::HMAC_SHA256, &header)).is_ok(), "the base must be good");
    for forged in [
        hmac(aws_lc_rs::hmac::HMAC_SHA384, &with(&header, "alg", json!("HS384"))),
        hmac(aws_lc_rs::hmac::HMAC_SHA256, &with(&header, "alg", json!("HS512"))),
        hmac(aws_lc_rs::hmac::HMAC_SHA256, &with(&header, "kid", json!(keys.kid()))),
        hmac(aws_lc_rs::hmac::HMAC_SHA256, &with(&header, "typ", json!("JWT"))),
        keys.hmac(aws_lc_rs::hmac::HMAC_SHA256, &header, &good, b"another secret, as long as the first"),
        keys.sign(&with(&keys.header(), "kid", json!(SHARED_KID)), &good),
        format!("{}.", unsigned(&with(&header, "alg", json!("none")), &good)),
    ] {
        assert!(verifier.verify(&forged).is_err(), "{forged}");
    }
}

#[test]
fn a_shared_secret_is_long_and_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let short = shared(&dir, "0123456789abcdef0123456789abcde\n");
    assert!(Verifier::load(&KeyConfig::at(dir.path()), &short).unwrap_err().to_string().contains("32 bytes"));
    let config = shared(&dir, &"x".repeat(32));
    std::fs::set_permissions(config.secret_file.as_ref().unwrap(), std::fs::Permissions::from_mode(0o640))
        .unwrap();
    let refused = Signer::load(&KeyConfig::at(dir.path()), &config).unwrap_err().to_string();
    assert!(refused.contains("chmod 600") && refused.contains("QUIPU_TOKEN_SECRET_FILE"), "{refused}");
    let none = TokenConfig { secret_file: None, ..config };
    assert!(Signer::load(&KeyConfig::at(dir.path()), &none).is_err());
}

/// Keys that come from a function that counts how often it is asked.
fn following(verifier: &Arc<Verifier>, public: &PublicKeys) -> (Arc<super::Keys>, Arc<AtomicUsize>) {
    let (asked, public) = (Arc::new(AtomicUsize::new(0)), public.clone());
    let count = Arc::clone(&asked);
    let load: super::reload::Load = Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let set = KeySet { believed: public.clone(), ..KeySet::default() };
        Box::pin(std::future::ready(Ok(set)))
    });
    (super::Keys::new(Arc::clone(verifier), None, load), asked)
}

#[tokio::test]
async fn a_token_of_a_key_that_is_new_is_believed_at_once() {
    let (keys, next) = (keys(), keys());
    let verifier = Arc::new(keys.verifier);
    let token = next.signer.mint(&claims(Role::Member)).unwrap();
    assert_eq!(verifier.verify_fresh(&token).await.unwrap_err(), TokenError::Invalid, "nobody to ask");
    let (_following, asked) = following(&verifier, &next.public);
    let verified = verifier.verify_fresh(&token).await.unwrap();
    assert_eq!((&*verified.kid, asked.load(Ordering::SeqCst)), (next.kid(), 1));
    assert!(verifier.verify(&token).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_name_keys_that_nobody_knows_cause_few_looks() {
    let keys = keys();
    let stranger = self::keys();
    let verifier = Arc::new(keys.verifier);
    let (following, asked) = following(&verifier, &PublicKeys::default());
    following.reload().await.unwrap();
    let token = stranger.signer.mint(&claims(Role::Owner)).unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..4 {
        let all = (0..500).map(|_| verifier.verify_fresh(&token));
        let refused = futures_util::future::join_all(all).await;
        assert!(refused.iter().all(|it| it.as_ref().is_err_and(|it| *it == TokenError::Invalid)));
    }
    let looks_at_most = 2 + begun.elapsed().as_millis() / 100;
    assert!(asked.load(Ordering::SeqCst) as u128 <= looks_at_most, "{asked:?} in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_look_that_fails_leaves_everything_as_it_was() {
    let keys = keys();
    let verifier = Arc::new(keys.verifier);
    let load: super::reload::Load =
        Box::new(|| Box::pin(std::future::ready(Err("the database is away".into()))));
    let following = super::Keys::new(Arc::clone(&verifier), None, load);
    assert!(following.reload().await.is_err());
    assert!(verifier.verify(&keys.signer.mint(&claims(Role::Member)).unwrap()).is_ok());
}

#[test]
fn memory_is_bounded() {
    let mut known = Generations::default();
    let value = Verified { claims: Arc::new(claims(Role::Member)), kid: "k".into() };
    for number in 0..50_000_u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        known.insert(key, value.clone());
    }
    assert!(known.young.len() + known.old.len() <= REMEMBERED_MAX);
}

#[test]
fn keys_are_private_and_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let config = KeyConfig::at(dir.path().join("deep"));
    generate_keys(&config).unwrap();
    let before = std::fs::read(config.signing_pem()).unwrap();
    let master = config.master_key().unwrap();
    generate_keys(&config).unwrap();
    assert_eq!(before, std::fs::read(config.signing_pem()).unwrap());
    assert!(!format!("{master:?}").contains(", "));
    for path in [config.signing_pem(), config.master_key_file()] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let refused = config.master_key().unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
    assert!(Signer::load(&config, &TokenConfig::default()).is_err());
}

#[test]
fn key_files_that_are_not_ours_are_refused() {
    let keys = keys();
    let mut two = keys.public.clone();
    two.keys.push(two.keys[0].clone());
    assert!(Verifier::new(&two, &TokenConfig::default()).is_err());
    let mut rsa = keys.public.clone();
    rsa.keys[0].kty = "RSA".into();
    assert!(Verifier::new(&rsa, &TokenConfig::default()).is_err());
}
