//! Addresses of the web in this context: who a provider says that it is, and where people go when they are through. Both are
//! compared letter by letter, so neither is ever rewritten.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::error::FederationError;
use crate::error::coded;

/// Characters of an issuer at most.
const ISSUER_CHARS_MAX: usize = 255;
/// Characters of a return address at most.
const RETURN_URI_CHARS_MAX: usize = 1_000;

/// What both have in common: a checked text.
macro_rules! address {
    ($(#[$doc:meta])* $name:ident $error:ident, $check:ident, $pattern:literal, $chars_max:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            ///
            /// # Errors
            /// If it has another form.
            pub fn parse(text: &str) -> Result<Self, FederationError> {
                let fits = text.len() <= $chars_max && $check(text);
                if fits { Ok(Self(text.to_owned())) } else { Err(FederationError::$error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "maxLength": $chars_max })
            }
        }
    };
}

address!(
    /// Who a provider says that it is. `http` is taken too, for providers in a network that the operator allows; it leads
    /// nowhere else. Source: OpenID Connect Core 1.0 section 2, RFC 8414 section 2.
    Issuer IssuerMalformed, is_issuer,
    "^https?://[a-z0-9.:\\[\\]-]+(/[A-Za-z0-9._~/:@!$&'()*+,;=-]*)?$", ISSUER_CHARS_MAX
);
address!(
    /// Where people are sent when they are through: an address over TLS, or one on their own machine. Source: RFC 6749
    /// section 3.1.2, RFC 8252 section 7.3.
    ReturnUri ReturnUriMalformed, is_return_uri,
    "^(https://[a-z0-9.:\\[\\]-]+|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:[0-9]{1,5})?)(/[A-Za-z0-9._~/:@!$&'()*+,;=?%-]*)?$",
    RETURN_URI_CHARS_MAX
);

/// The characters that both may have in a path. Source: RFC 3986 section 3.3.
fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=".contains(&byte)
}

fn is_host(text: &str) -> bool {
    let of_host = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(of_host)
}

/// A step up the path could lead elsewhere than a reader thinks.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| part != "." && part != "..")
}

fn is_issuer(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    is_host(host) && path.bytes().all(is_of_path) && is_plain(path)
}

fn is_return_uri(text: &str) -> bool {
    let over_tls = text.strip_prefix("https://");
    let Some(rest) = over_tls.or_else(|| text.strip_prefix("http://")) else { return false };
    let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let is_good = rest.bytes().all(|byte| is_of_path(byte) || b"?%".contains(&byte));
    let path = rest.split('?').next().unwrap_or_default();
    is_good && is_plain(path) && (if over_tls.is_some() { is_host(host) } else { is_own_machine(host) })
}

fn is_own_machine(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| {
            let port = rest.strip_prefix(':');
            rest.is_empty()
                || port
                    .is_some_and(|it| (1..=5).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

#[cfg(test)]
mod tests;
