//! Which texts are addresses here.

use proptest::prelude::*;

use super::*;

#[test]
fn issuers_are_addresses_without_user_query_and_fragment() {
    for text in [
        "https://accounts.google.com",
        "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        "https://example.com/realms/shop/",
        "http://127.0.0.1:4010",
        "http://[::1]:4010/a",
    ] {
        assert_eq!(Issuer::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
    }
    let long = format!("https://example.com/{}", "a".repeat(ISSUER_CHARS_MAX));
    for text in [
        "",
        "https://",
        "https:///a",
        "ftp://example.com",
        "example.com",
        "HTTPS://example.com",
        "https://Example.com",
        "https://a@example.com",
        "https://example.com?a",
        "https://example.com/?a",
        "https://example.com/#a",
        "https://example.com/a b",
        "https://example.com/%2e%2e",
        "https://example.com/../a",
        "https://example.com/./a",
        "https://example.com\\@evil.example",
        "https://exämple.com",
        " https://example.com",
        "https://example.com\n",
        &long,
    ] {
        assert_eq!(Issuer::parse(text), Err(FederationError::IssuerMalformed), "{text}");
    }
}

#[test]
fn people_are_sent_back_over_tls_or_to_their_own_machine() {
    for text in [
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com:8443/a/b?c=d&e=%20",
        "http://localhost/",
        "http://localhost:3000/back",
        "http://127.0.0.1:8080",
        "http://[::1]:1/a",
    ] {
        assert_eq!(ReturnUri::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
    }
    for text in [
        "",
        "http://app.example.com/",
        "http://localhost.example.com/",
        "http://localhost@evil.example/",
        "http://localhost:/",
        "http://localhost:123456/",
        "http://127.0.0.1.example.com/",
        "javascript:alert(1)",
        "app://back",
        "//app.example.com",
        "https://app.example.com/#a",
        "https://a@app.example.com/",
        "https://App.example.com/",
        "https://app.example.com/../a",
        "https://app.example.com\\@evil.example/",
        "https://app.example.com/\r\nSet-Cookie: a=b",
        "https://app.example.com/<a>",
    ] {
        assert_eq!(ReturnUri::parse(text), Err(FederationError::ReturnUriMalformed), "{text}");
    }
}

proptest! {
    #[test]
    fn an_issuer_has_the_form_that_its_schema_shows(text in "https?://[a-z0-9.\\[:?#@-]{0,9}(/[A-Za-z0-9._~/%?#-]{0,9})?") {
        let of_host = |it: &str| it.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".:[]-".contains(&b));
        if let Ok(issuer) = Issuer::parse(&text) {
            let rest = issuer.as_str().split_once("://").unwrap().1;
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            prop_assert!(!host.is_empty() && of_host(host) && !path.contains(['?', '#', '%', '@']));
        }
    }
}
