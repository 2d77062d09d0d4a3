//! Documents of providers that lie, and those of Microsoft's shared endpoints.

use domain::federation::Issuer;
use serde_json::{Value, json};

use super::super::tests::settings;
use super::*;

const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";
const DIRECTORY: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": "https://op.example/auth",
        "token_endpoint": "https://op.example/token",
        "jwks_uri": "https://op.example/keys",
        "response_types_supported": ["code"],
    })
}

fn read(document: Value, settings: &ProviderSettings) -> Result<Metadata, ProviderError> {
    checked(serde_json::from_value(document).unwrap(), settings)
}

#[test]
fn a_document_says_where_to_ask() {
    let metadata = read(document("https://op.example"), &settings("https://op.example")).unwrap();
    assert_eq!(metadata.issuer, IssuerRule::One("https://op.example".into()));
    assert_eq!(metadata.token_endpoint.as_str(), "https://op.example/token");
    assert_eq!(metadata.client_way, ClientWay::Header);
    assert!(metadata.userinfo_endpoint.is_none() && !metadata.is_issuer_told);
}

#[test]
fn a_document_of_another_issuer_is_refused() {
    for says in [
        "https://op.example/",
        "https://OP.example",
        "http://op.example",
        "https://evil.example",
        "",
        "op.example",
    ] {
        let told = read(document(says), &settings("https://op.example"));
        assert!(matches!(told, Err(ProviderError::Misconfigured(_))), "{says}");
    }
}

#[test]
fn endpoints_are_addresses_over_tls() {
    for field in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
        for text in [
            "http://op.example/x",
            "javascript:alert(1)",
            "/relative",
            "",
            "file:///etc/passwd",
            "https://op.example/#a",
            "https://user@op.example/",
            "https://:pw@op.example/",
        ] {
            let mut document = document("https://op.example");
            document[field] = json!(text);
            let told = read(document, &settings("https://op.example"));
            assert!(matches!(told, Err(ProviderError::Misconfigured(_))), "{field} {text}");
        }
    }
}

#[test]
fn a_provider_without_the_code_flow_is_refused() {
    for types in [json!([]), json!(["id_token"]), json!(["code id_token"])] {
        let mut document = document("https://op.example");
        document["response_types_supported"] = types;
        assert!(read(document, &settings("https://op.example")).is_err());
    }
}

fn microsoft(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        kind: domain::federation::provider::MICROSOFT,
        issuer: Issuer::parse(issuer).unwrap(),
        ..settings(issuer)
    }
}

#[test]
fn of_microsofts_shared_endpoints_every_directory_is_an_issuer_and_names_itself() {
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let rule = read(document(template), &microsoft(COMMON)).unwrap().issuer;
    let issuer = |directory: &str| format!("https://login.microsoftonline.com/{directory}/v2.0");
    assert!(rule.is(&issuer(DIRECTORY)) && rule.fits(&issuer(DIRECTORY), Some(DIRECTORY)));
    let other = "00000000-0000-0000-0000-000000000001";
    for (says, directory) in [
        (issuer(DIRECTORY), Some(other)),
        (issuer(DIRECTORY), None),
        (issuer("common"), Some("common")),
        (issuer("{tenantid}"), Some("{tenantid}")),
        (issuer(&DIRECTORY.to_uppercase()), Some(DIRECTORY)),
        (issuer(&format!("x/{DIRECTORY}")), Some(DIRECTORY)),
        (format!("https://evil.example/{DIRECTORY}/v2.0"), Some(DIRECTORY)),
        (template.to_owned(), Some(DIRECTORY)),
    ] {
        assert!(!rule.fits(&says, directory), "{says} {directory:?}");
    }
}

#[test]
fn the_placeholder_is_microsofts_alone_and_only_where_it_is_shared() {
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let of_one = format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0");
    assert!(read(document(template), &microsoft(&of_one)).is_err());
    assert!(read(document(template), &settings(COMMON)).is_err());
    let elsewhere = microsoft("https://evil.example/common/v2.0");
    assert!(read(document(template), &elsewhere).is_err());
    let one = read(document(&of_one), &microsoft(&of_one)).unwrap().issuer;
    // The token names its directory, which says nothing new here.
    assert!(one.fits(&of_one, Some(DIRECTORY)) && one.fits(&of_one, None));
}
