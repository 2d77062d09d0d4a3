//! What organisations can book, and what they may have with it.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use domain::allowance::Allowance;
use domain::words::Word;

/// What there is where nobody says otherwise.
const TIERS: &str = "free services=3 api-keys=10 service-rpm=300 api-key-rpm=120; \
                     standard services=20 api-keys=100 service-rpm=6000 api-key-rpm=1200; \
                     enterprise services=100 api-keys=1000 service-rpm=60000 api-key-rpm=6000";
/// The most of anything.
const MOST: u32 = 1_000_000;
/// The most tiers.
const TIERS_MAX: usize = 50;

/// What can be booked.
#[derive(Debug, Clone, Args)]
pub struct TierConfig {
    /// What organisations can book: tiers parted by semicolons, each a word and how many services and API keys it has room for,
    /// and how many requests a minute each service and each key may make (each process counts by itself). What an organisation
    /// may have is recorded when its tier is set: a change here holds for those whose tier is set afterwards.
    #[arg(long, env = "QUIPU_TIERS", default_value = TIERS)]
    pub tiers: Tiers,
}

/// All tiers, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Allowance>);

/// A text is no list of tiers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write such as: free services=3 api-keys=10 service-rpm=300 api-key-rpm=120; standard services=20 ..."
)]
pub struct TiersError(String);

impl Tiers {
    /// What comes with a tier, if there is one of this name.
    #[must_use]
    pub fn of(&self, tier: &Word) -> Option<&Allowance> {
        self.0.iter().find(|it| it.tier == *tier)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.tier.as_str())
    }
}

impl FromStr for Tiers {
    type Err = TiersError;

    fn from_str(text: &str) -> Result<Self, TiersError> {
        let wrong = |told: &str| Err(TiersError(told.to_owned()));
        let mut tiers: Vec<Allowance> = Vec::new();
        for part in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            let tier = allowance(part)?;
            if tiers.iter().any(|it| it.tier == tier.tier) {
                return wrong(&format!("there is {} twice", tier.tier));
            }
            tiers.push(tier);
        }
        match tiers.len() {
            0 => wrong("there is no tier"),
            TIERS_MAX.. => wrong("there are too many tiers"),
            _ => Ok(Self(tiers)),
        }
    }
}

/// One tier, with all of its limits.
fn allowance(text: &str) -> Result<Allowance, TiersError> {
    let mut parts = text.split_whitespace();
    let name = parts.next().unwrap_or_default();
    let tier = Word::parse(name).map_err(|_| TiersError(format!("{name} is no word")))?;
    let mut limits = [("services", None), ("api-keys", None), ("service-rpm", None), ("api-key-rpm", None)];
    for part in parts {
        let wrong = || TiersError(format!("{part} is no limit of {name}, or a second one"));
        let (what, number) = part.split_once('=').ok_or_else(wrong)?;
        let number = number.parse().ok().filter(|it| (1..=MOST).contains(it)).ok_or_else(wrong)?;
        let slot = limits.iter_mut().find(|(it, known)| *it == what && known.is_none()).ok_or_else(wrong)?;
        slot.1 = Some(number);
    }
    let [services, api_keys, service_per_minute, api_key_per_minute] =
        limits.map(|(what, number)| number.ok_or_else(|| TiersError(format!("{name} does not say {what}"))));
    Ok(Allowance {
        tier,
        services: services?,
        api_keys: api_keys?,
        service_per_minute: service_per_minute?,
        api_key_per_minute: api_key_per_minute?,
    })
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, it) in self.0.iter().enumerate() {
            let part = if place == 0 { "" } else { "; " };
            let Allowance { tier, services, api_keys, service_per_minute, api_key_per_minute } = it;
            write!(f, "{part}{tier} services={services} api-keys={api_keys} ")?;
            write!(f, "service-rpm={service_per_minute} api-key-rpm={api_key_per_minute}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_read_as_they_are_written() {
        let tiers: Tiers = TIERS.parse().unwrap();
        assert_eq!(tiers.names().collect::<Vec<_>>(), ["free", "standard", "enterprise"]);
        assert_eq!(tiers.to_string().parse(), Ok(tiers.clone()));
        let free = tiers.of(&Word::of("free")).unwrap();
        assert_eq!((free.services, free.api_keys), (3, 10));
        assert_eq!((free.service_per_minute, free.api_key_per_minute), (300, 120));
        assert_eq!(tiers.of(&Word::of("gold")), None);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let whole = "a services=1 api-keys=1 service-rpm=1 api-key-rpm=1";
        for (text, told) in [
            ("", "there is no tier"),
            ("a services=1 api-keys=1 service-rpm=1", "a does not say api-key-rpm"),
            ("a services=0 api-keys=1 service-rpm=1 api-key-rpm=1", "services=0 is no limit of a"),
            ("a services=1 services=1", "services=1 is no limit of a, or a second one"),
            ("a seats=1", "seats=1 is no limit of a"),
            ("A services=1", "A is no word"),
            (&format!("{whole};{whole}"), "there is a twice"),
        ] {
            let error = text.parse::<Tiers>().unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
