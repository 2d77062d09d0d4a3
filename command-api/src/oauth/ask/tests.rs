use domain::application::service::RedirectUri;
use domain::metadata::Label;
use domain::words::Word;

use super::super::written;
use super::*;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn service() -> LiveService {
    LiveService {
        name: Label::parse("Shop").unwrap(),
        confidential: true,
        redirect_uris: vec![RedirectUri::parse("https://shop.example/back?a=1").unwrap()],
        grants: vec![Word::of("authorization-code")],
        scopes: ["email", "openid"].iter().map(|it| Scope::parse(it).unwrap()).collect(),
        limits: None,
        secrets: vec![],
    }
}

fn query(change: &[(&str, Option<&str>)]) -> String {
    let mut pairs = std::collections::BTreeMap::from([
        ("response_type", "code"),
        ("redirect_uri", "https://shop.example/back?a=1"),
        ("scope", "openid email"),
        ("state", "a state & more"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    for (name, value) in change {
        match value {
            Some(value) => pairs.insert(name, value),
            None => pairs.remove(name),
        };
    }
    serde_urlencoded::to_string(pairs).unwrap()
}

#[test]
fn the_challenge_is_that_of_its_verifier_and_written_in_one_way() {
    // The example of RFC 7636, appendix B.
    assert_eq!(challenge_by(VERIFIER), challenge_of(CHALLENGE));
    assert!(challenge_of(CHALLENGE).is_some());
    for text in ["", "E9Melhoa", &format!("{CHALLENGE}="), &"!".repeat(43), &"a".repeat(44)] {
        assert_eq!(challenge_of(text), None, "{text}");
    }
    for text in ["", &VERIFIER[1..], &"a".repeat(129), &format!("{VERIFIER} ")] {
        assert_eq!(challenge_by(text), None, "{text}");
    }
}

/// The default of oidc-client-ts, NextAuth and AppAuth. OpenID Connect Core section 11: who has no use for it passes it over.
#[test]
fn going_on_while_the_person_is_away_is_asked_without_being_registered_and_passed_over_where_it_means_nothing()
 {
    let mut service = service();
    let query = query(&[("scope", Some("openid offline_access"))]);
    let asked = |service: &LiveService| {
        ask_of(&Params::of(&query), service).map(|it| written(&it.scopes)).map_err(|it| it.code())
    };
    assert_eq!(asked(&service).as_deref(), Ok("openid"));
    service.grants.push(Word::of("refresh-token"));
    assert_eq!(asked(&service).as_deref(), Ok("offline_access openid"));
    service.scopes.clear();
    assert_eq!(asked(&service), Err(OauthCode::InvalidScope), "no other scope is passed over");
}

#[test]
fn what_is_asked_is_read_or_refused_in_the_words_of_the_standard() {
    let ask = ask_of(&Params::of(&query(&[])), &service()).unwrap();
    assert_eq!(
        (ask.state.as_deref(), written(&ask.scopes).as_str()),
        (Some("a state & more"), "email openid")
    );
    use OauthCode::{InvalidRequest, InvalidScope, RequestNotSupported, UnsupportedResponseType};
    let long = "x".repeat(1_001);
    for (change, expected) in [
        (("code_challenge_method", Some("plain")), InvalidRequest),
        (("code_challenge_method", Some("s256")), InvalidRequest),
        (("code_challenge_method", None), InvalidRequest),
        (("code_challenge", None), InvalidRequest),
        (("code_challenge", Some(VERIFIER.get(1..).unwrap())), InvalidRequest),
        (("response_type", None), InvalidRequest),
        (("response_type", Some("token")), UnsupportedResponseType),
        (("response_type", Some("code id_token")), UnsupportedResponseType),
        (("response_mode", Some("fragment")), InvalidRequest),
        (("request", Some("x.y.z")), RequestNotSupported),
        (("request_uri", Some("https://evil.example")), RequestNotSupported),
        (("scope", None), InvalidScope),
        (("scope", Some("openid phone")), InvalidScope),
        (("scope", Some("openid  email")), InvalidScope),
        (("prompt", Some("none login")), InvalidRequest),
        (("prompt", Some("dance")), InvalidRequest),
        (("max_age", Some("-1")), InvalidRequest),
        (("max_age", Some("99999999999999999999")), InvalidRequest),
        (("state", Some(long.as_str())), InvalidRequest),
        (("nonce", Some(long.as_str())), InvalidRequest),
    ] {
        let refused = ask_of(&Params::of(&query(&[change])), &service()).err().map(|it| it.code());
        assert_eq!(refused, Some(expected), "{change:?}");
    }
    let twice = format!("{}&scope=openid", query(&[]));
    assert_eq!(ask_of(&Params::of(&twice), &service()).err().map(|it| it.code()), Some(InvalidRequest));
}

/// A session of somebody who showed then who they are.
fn session(shown_at: DateTime<Utc>, now: DateTime<Utc>) -> LiveSession {
    LiveSession {
        user_id: UserId::new(Uuid::nil()),
        service_id: None,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        began_at: shown_at,
        auth_time: shown_at,
        expires_at: now + TimeDelta::days(1),
        generation: 0,
        consent: 0,
        impersonation_id: None,
        came_by: None,
    }
}

#[test]
fn somebody_shows_again_who_they_are_where_that_is_asked_and_only_then() {
    let now = Utc::now();
    let proof = |ago: i64| session(now - TimeDelta::seconds(ago), now);
    let asked = |change: &[(&str, Option<&str>)]| {
        let ask = ask_of(&Params::of(&query(change)), &service()).unwrap();
        Ask { asked_at: now - TimeDelta::seconds(60), ..ask }
    };
    let plain = asked(&[]);
    let login = asked(&[("prompt", Some("login"))]);
    let fresh = asked(&[("max_age", Some("100"))]);
    for (ask, ago, expected) in [
        (&plain, 100_000, false),
        (&login, 61, true),
        (&login, 60, false),
        (&login, 0, false),
        (&fresh, 99, false),
        (&fresh, 101, true),
    ] {
        assert_eq!(ask.wants_sign_in(&proof(ago), now), expected, "{ago}");
    }
}

/// They came back just now from a provider that had asked them an hour ago.
#[test]
fn whoever_chose_an_account_is_not_asked_again_because_their_proof_is_old() {
    let now = Utc::now();
    let hour_ago = now - TimeDelta::hours(1);
    let came = |began_at| LiveSession { began_at, ..session(hour_ago, now) };
    let asked = |word| {
        let ask = ask_of(&Params::of(&query(&[("prompt", Some(word))])), &service()).unwrap();
        Ask { asked_at: now - TimeDelta::seconds(60), ..ask }
    };
    let select = asked("select_account");
    assert!(select.wants_sign_in(&came(hour_ago), now) && !select.wants_sign_in(&came(now), now));
    assert!(!select.demands_fresh_proof());
    let login = asked("login");
    assert!(login.wants_sign_in(&came(now), now) && login.demands_fresh_proof());
}

#[test]
fn a_service_may_mean_somebody_and_nobody_else_will_do() {
    let [ada, bob] = [1, 2].map(|it| UserId::new(Uuid::from_u128(it)));
    let ask = ask_of(&Params::of(&query(&[])), &service()).unwrap();
    assert!(!ask.means_another(ada));
    let ask = Ask { meant: Some(ada), ..ask };
    assert!(!ask.means_another(ada) && ask.means_another(bob));
    // What waits since before there was such a thing is read still.
    let mut waiting = serde_json::to_value(&ask).unwrap();
    waiting.as_object_mut().unwrap().remove("meant");
    assert_eq!(serde_json::from_value::<Ask>(waiting).unwrap().meant, None);
}
