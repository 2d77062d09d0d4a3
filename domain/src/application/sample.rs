//! Services for tests.

use uuid::Uuid;

use super::{RedirectUri, RegisterService};
use crate::ids::ServiceId;
use crate::metadata::Label;
use crate::words::{Scope, Word};

pub(crate) const TILL: ServiceId = ServiceId::new(Uuid::from_u128(0x711));

pub(crate) fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

pub(crate) fn scopes(names: &[&str]) -> Vec<Scope> {
    names.iter().map(|it| Scope::parse(it).unwrap()).collect()
}

/// A service that does everything.
pub(crate) fn till() -> RegisterService {
    RegisterService {
        service_id: TILL,
        name: Label::parse("Till").unwrap(),
        confidential: true,
        redirect_uris: vec![uri("https://till.example/back")],
        grants: vec![Word::of("client-credentials"), Word::of("authorization-code")],
        scopes: scopes(&["openid", "email"]),
        limits: None,
    }
}
