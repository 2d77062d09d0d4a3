//! What a provider says of a person beside the ID token. Source: OpenID Connect Core 1.0 section 5.3.

use secrecy::SecretString;
use serde::Deserialize;
use service_kit::outgoing::{Credential, Outgoing, Url};

use super::id_token::Truth;
use super::{Invalid, Person, ProviderError, address, names};

/// What we ask for.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    sub: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Truth>,
    #[serde(default)]
    given_name: Option<String>,
    #[serde(default)]
    family_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Info {
    /// The person with what the ID token did not say of them.
    pub(super) fn completes(self, person: Person) -> Person {
        let is_verified = self.email_verified.is_some_and(|it| it.0);
        let (given_name, family_name) = match (person.given_name, person.family_name) {
            (None, None) => {
                names(self.given_name.as_deref(), self.family_name.as_deref(), self.name.as_deref())
            }
            told => told,
        };
        Person {
            address: person.address.or_else(|| address(self.email.as_deref(), is_verified)),
            given_name,
            family_name,
            ..person
        }
    }
}

/// Asks about the person of an ID token. An answer about anybody else is refused (section 5.3.2): the token may have been
/// exchanged on its way.
pub(super) async fn ask(
    outgoing: &Outgoing,
    endpoint: &Url,
    token: &SecretString,
    subject: &str,
) -> Result<Info, ProviderError> {
    let answer = outgoing.get(endpoint, Credential::Bearer(token)).await?;
    if answer.status != 200 {
        return Err(ProviderError::Status(answer.status.as_u16()));
    }
    let info: Info = answer.json()?;
    if info.sub == subject { Ok(info) } else { Err(Invalid::Subject.into()) }
}
