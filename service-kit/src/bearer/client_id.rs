//! The name of a service where OAuth asks for a `client_id`: no secret, and whose organisation it is of can be read in it.

use std::fmt;

use domain::ids::{ServiceId, TenantId};
use uuid::Uuid;

use super::{decode, encode};

/// Its first letters, as of the other texts.
const PREFIX: &str = "qa_";
/// Letters of each of its two halves.
const HALF: usize = 26;

/// A service of an organisation, as `qa_<tenant><service>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId {
    /// Of which organisation.
    pub tenant: TenantId,
    /// Which service.
    pub service: ServiceId,
}

impl ClientId {
    /// Reads one. There is one text for each.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, service) = text.strip_prefix(PREFIX)?.split_at_checked(HALF)?;
        let id = |half: &str| decode(half).ok().map(Uuid::from_bytes);
        Some(Self { tenant: TenantId::new(id(tenant)?), service: ServiceId::new(id(service)?) })
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(PREFIX.len() + 2 * HALF);
        text.push_str(PREFIX);
        encode(self.tenant.uuid().as_bytes(), &mut text);
        encode(self.service.uuid().as_bytes(), &mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_comes_back_and_no_other_text_means_the_same(
            tenant in any::<[u8; 16]>(), service in any::<[u8; 16]>(), place in any::<prop::sample::Index>(), other in any::<char>(),
        ) {
            let service = ServiceId::new(Uuid::from_bytes(service));
            let it = ClientId { tenant: TenantId::new(Uuid::from_bytes(tenant)), service };
            let text = it.to_string();
            prop_assert_eq!(ClientId::parse(&text), Some(it));
            let mut letters: Vec<char> = text.chars().collect();
            let place = place.index(letters.len());
            letters[place] = other;
            let changed: String = letters.into_iter().collect();
            if changed != text {
                prop_assert_ne!(ClientId::parse(&changed), Some(it));
            }
            for end in 0..text.len() {
                prop_assert_eq!(ClientId::parse(&text[..end]), None);
            }
            let longer = format!("{text}a");
            prop_assert_eq!(ClientId::parse(&longer), None);
        }
    }
}
