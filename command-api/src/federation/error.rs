//! Why a provider's word is not taken. No text quotes anything that it sent.

use std::error::Error as _;

use service_kit::outgoing::OutgoingError;
use service_kit::problem::{Problem, code};
use service_kit::random::NoRandomness;

/// Why nobody is signed in with a provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer as it should, or not now.
    #[error("the provider does not answer as it should")]
    Unavailable(#[from] OutgoingError),
    /// It was asked a moment ago and did not answer.
    #[error("the provider did not answer a moment ago")]
    Resting,
    /// It answered with a status that says that it cannot.
    #[error("the provider answers with status {0}")]
    Status(u16),
    /// What it says of itself, or what was set of it, cannot be right.
    #[error("{0}")]
    Misconfigured(&'static str),
    /// The person, or the provider for them, said no.
    #[error("the sign-in was not allowed at the provider")]
    Denied,
    /// The provider gave an error of OAuth.
    #[error("the provider says {0}")]
    Refused(&'static str),
    /// The person was to show anew who they are, and it does not say that they did.
    #[error("the provider does not say that somebody just showed it who they are")]
    NotFresh,
    /// Its answer is not to be believed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Nothing can be made that nobody guesses.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl ProviderError {
    /// Why it is so, down to the cause, for whoever runs this: a name that leads nowhere, TLS, a status. No secret and nothing that
    /// a provider sent is in it.
    #[must_use]
    pub fn cause(&self) -> String {
        let causes = std::iter::successors(self.source(), |it| (*it).source());
        causes.fold(self.to_string(), |told, it| format!("{told}: {it}"))
    }

    /// The same in a word, for whoever sets the provider up.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(OutgoingError::Address | OutgoingError::Network) => "address-not-allowed",
            Self::Unavailable(OutgoingError::Unreachable(_)) => "unreachable",
            Self::Unavailable(OutgoingError::TooSlow) => "too-slow",
            Self::Unavailable(OutgoingError::Busy) | Self::Resting => "busy",
            Self::Misconfigured(_) => "misconfigured",
            _ => "answer-not-understood",
        }
    }

    /// Whether the provider says that what it was shown is good no more, and never will be again (RFC 6749 section 5.2).
    #[must_use]
    pub fn says_that_it_is_over(&self) -> bool {
        matches!(self, Self::Refused("invalid_grant" | "bad_refresh_token"))
    }
}

/// Why an answer is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has not the form of such an answer.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is signed in a way that we do not take.
    #[error("the ID token is signed in a way that is not taken")]
    Algorithm,
    /// It is signed with a key that the provider does not publish.
    #[error("the ID token is signed with a key that the provider does not publish")]
    KeyUnknown,
    /// The signature is wrong.
    #[error("the signature of the ID token is wrong")]
    Signature,
    /// It is of another provider.
    #[error("the answer is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the ID token is for another client")]
    Audience,
    /// It is over.
    #[error("the ID token is over, or has no end")]
    Expired,
    /// It is not of now.
    #[error("the ID token is not of this moment")]
    NotNow,
    /// It says an impossible time at which somebody showed who they are.
    #[error("the ID token says that somebody showed who they are at a time that cannot be")]
    AuthTime,
    /// It belongs to another sign-in.
    #[error("the ID token belongs to another sign-in")]
    Nonce,
    /// It is about another person than the answer before.
    #[error("the answers are about different people")]
    Subject,
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        let detail = error.to_string();
        match error {
            ProviderError::Unavailable(_)
            | ProviderError::Resting
            | ProviderError::Status(_)
            | ProviderError::Misconfigured(_) => Self::new(&code::PROVIDER_UNAVAILABLE, detail),
            ProviderError::Denied => Self::new(&code::PROVIDER_DENIED, ""),
            ProviderError::NotFresh => Self::new(&code::PROVIDER_NOT_FRESH, ""),
            ProviderError::Refused(_) | ProviderError::Invalid(_) => {
                Self::new(&code::PROVIDER_ANSWER_INVALID, detail)
            }
            ProviderError::NoRandomness(error) => error.into(),
        }
    }
}
