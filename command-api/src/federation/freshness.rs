//! When somebody showed at a provider who they are. Providers let people in who did so days ago and ask them nothing, so that
//! somebody comes back says only that their browser is known there.
//!
//! | kind | asked always | asked of whoever must show it anew | says when |
//! |---|---|---|---|
//! | `oidc` | `max_age` of a year, which asks nobody | `prompt=login`, `max_age=0` | always: both demand it |
//! | `microsoft` | likewise | likewise | where the application has that claim |
//! | `google` | the claim `auth_time` | `prompt=select_account`; it knows no `login` | where the application has that claim |
//! | `github` | nothing | `prompt=select_account` | never |
//!
//! What is asked goes through the browser, where whoever sits there can take it away. So what was asked proves nothing, and
//! only `auth_time` of the signed answer does.
//!
//! Source: OpenID Connect Core 1.0 sections 2, 3.1.2.1, 3.1.3.7 and 5.5.1.1; Auth0, "Force Reauthentication in OIDC"; Microsoft
//! identity platform, "OpenID Connect" and "Optional claims reference"; Google, "Security Bundle for Sign in with Google";
//! GitHub, "Authorizing OAuth apps".

use chrono::{DateTime, TimeDelta, Utc};

use super::{Invalid, Kind, ProviderError};

/// How far a provider's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
/// Seconds since which everybody who is signed in anywhere was asked: whoever demands this asks nobody, and is told when.
const YEAR: &str = "31536000";
/// As Google has it, which does not know `max_age`.
const CLAIM: &str = r#"{"id_token":{"auth_time":{"essential":true}}}"#;

/// When somebody showed at a provider who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Then, as it says; never in the future.
    At(DateTime<Utc>),
    /// It does not say, though it would have to.
    Withheld,
    /// It does not say, and need not.
    Untold,
}

/// What a provider is asked beside who it is.
pub(super) fn asked(kind: Kind, is_anew: bool) -> Vec<(&'static str, &'static str)> {
    match (kind, is_anew) {
        (Kind::OpenId | Kind::Microsoft, false) => vec![("max_age", YEAR)],
        (Kind::OpenId | Kind::Microsoft, true) => vec![("prompt", "login"), ("max_age", "0")],
        (Kind::Google, false) => vec![("claims", CLAIM)],
        (Kind::Google, true) => vec![("prompt", "select_account"), ("claims", CLAIM)],
        (Kind::GitHub, false) => Vec::new(),
        (Kind::GitHub, true) => vec![("prompt", "select_account")],
    }
}

/// What a provider says of it. `since` is when it was asked that they show it anew, if it was: a provider whose clock is a little
/// behind is believed, and the time never lies before that.
pub(super) fn shown(
    kind: Kind,
    told: Option<i64>,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Shown, ProviderError> {
    let Some(told) = told else {
        return match (kind, since) {
            (Kind::OpenId, Some(_)) => Err(ProviderError::NotFresh),
            (Kind::OpenId, None) => Ok(Shown::Withheld),
            _ => Ok(Shown::Untold),
        };
    };
    let is_possible = |it: &DateTime<Utc>| *it > DateTime::UNIX_EPOCH && *it <= now + LEEWAY;
    let told = DateTime::from_timestamp(told, 0).filter(is_possible).ok_or(Invalid::AuthTime)?.min(now);
    match since {
        Some(since) if told < since - LEEWAY => Err(ProviderError::NotFresh),
        Some(since) => Ok(Shown::At(told.max(since))),
        None => Ok(Shown::At(told)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn judged(told: Option<i64>, since: Option<i64>) -> Result<Shown, ProviderError> {
        shown(Kind::OpenId, told.map(|it| at(it).timestamp()), since.map(at), at(0))
    }

    #[test]
    fn nobody_is_asked_anew_unless_that_is_wanted() {
        for kind in [Kind::OpenId, Kind::Microsoft, Kind::Google, Kind::GitHub] {
            assert!(!asked(kind, false).iter().any(|(name, _)| *name == "prompt"), "{kind:?}");
            assert!(asked(kind, true).iter().any(|(name, _)| *name == "prompt"), "{kind:?}");
        }
    }

    #[test]
    fn what_a_provider_says_is_when_it_was() {
        assert_eq!(judged(Some(-3_600), None).unwrap(), Shown::At(at(-3_600)));
        // A clock that is a little ahead makes no session of the future.
        assert_eq!(judged(Some(60), None).unwrap(), Shown::At(at(0)));
    }

    #[test]
    fn a_time_that_cannot_be_is_refused() {
        for told in [61, 3_600, -1_800_000_000, -1_800_000_001] {
            let told = judged(Some(told), None);
            assert!(matches!(told, Err(ProviderError::Invalid(Invalid::AuthTime))), "{told:?}");
        }
        for told in [i64::MIN, i64::MAX, 1_800_000_000_000] {
            let told = shown(Kind::Google, Some(told), None, at(0));
            assert!(matches!(told, Err(ProviderError::Invalid(Invalid::AuthTime))), "{told:?}");
        }
    }

    #[test]
    fn a_provider_that_asked_nobody_again_is_not_taken_for_one_that_did() {
        let told = judged(Some(-91), Some(-30));
        assert!(matches!(told, Err(ProviderError::NotFresh)), "{told:?}");
        // Its clock may be behind; what it then says is as of when it was asked.
        assert_eq!(judged(Some(-90), Some(-30)).unwrap(), Shown::At(at(-30)));
        assert_eq!(judged(Some(-10), Some(-30)).unwrap(), Shown::At(at(-10)));
    }

    #[test]
    fn a_parameter_that_was_taken_away_on_the_way_proves_nothing() {
        let told = judged(None, Some(-30));
        assert!(matches!(told, Err(ProviderError::NotFresh)), "{told:?}");
        assert_eq!(judged(None, None).unwrap(), Shown::Withheld);
    }

    #[test]
    fn who_need_not_say_is_heard_if_they_do() {
        for kind in [Kind::Microsoft, Kind::Google] {
            for since in [None, Some(at(-30))] {
                assert_eq!(shown(kind, None, since, at(0)).unwrap(), Shown::Untold);
            }
            let stale = shown(kind, Some(at(-3_600).timestamp()), Some(at(-30)), at(0));
            assert!(matches!(stale, Err(ProviderError::NotFresh)), "{stale:?}");
        }
    }
}
