//! Devices on which somebody signed in before. Their guesses are counted by themselves, so a stranger who guesses cannot lock
//! a person out of their own browser (OWASP ASVS 5.0, 6.1.1). What the device keeps proves just that it was there: it is no
//! session and opens nothing.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::TenantId;
use event_store::MasterKey;
use event_store::keyring::IndexOf;
use event_store::vault::Digest;
use service_kit::email::EmailAddress;
use subtle::ConstantTimeEq as _;

/// How long a device is known after somebody signed in on it.
pub const KNOWN_FOR: TimeDelta = TimeDelta::days(180);

/// The text that a device keeps: `<seconds since 1970>.<64 hexadecimal digits>`.
#[must_use]
pub fn remembered(master: &MasterKey, tenant: TenantId, email: &EmailAddress, now: DateTime<Utc>) -> String {
    let seconds = now.timestamp();
    format!("{seconds}.{}", proof(master, tenant, email, seconds))
}

/// Under what the guesses of a device are counted, if somebody signed in on it with this address not too long ago.
#[must_use]
pub fn known(
    master: &MasterKey,
    tenant: TenantId,
    email: &EmailAddress,
    now: DateTime<Utc>,
    kept: &str,
) -> Option<Digest> {
    let (seconds, shown) = kept.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let proof = proof(master, tenant, email, seconds);
    let is_right: bool = proof.to_string().as_bytes().ct_eq(shown.as_bytes()).into();
    let since = now.timestamp().checked_sub(seconds)?;
    (is_right && (0..KNOWN_FOR.num_seconds()).contains(&since)).then_some(proof)
}

fn proof(master: &MasterKey, tenant: TenantId, email: &EmailAddress, seconds: i64) -> Digest {
    master.index(tenant, IndexOf::Device, format!("{seconds}\0{}", email.normal()).as_bytes())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_device_is_known_for_whom_and_where_it_was_used_and_for_a_time() {
        let key = |byte| MasterKey::new(&SecretSlice::from(vec![byte; 32])).unwrap();
        let (master, tenant) = (key(1), TenantId::new(Uuid::from_u128(1)));
        let email = |it| EmailAddress::parse(it).unwrap();
        let (ann, bob) = (email("ann@example.com"), email("bob@example.com"));
        let large = email("ANN@example.com");
        let then = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let kept = remembered(&master, tenant, &ann, then);
        let at = |tenant, email, now, kept: &str| known(&master, tenant, email, now, kept).is_some();
        assert!(at(tenant, &ann, then, &kept));
        assert!(at(tenant, &large, then + TimeDelta::days(179), &kept));
        assert!(!at(tenant, &ann, then + KNOWN_FOR, &kept), "too long ago");
        assert!(!at(tenant, &ann, then - TimeDelta::seconds(1), &kept), "not yet");
        assert!(!at(tenant, &bob, then, &kept), "another person");
        assert!(!at(TenantId::PLATFORM, &ann, then, &kept), "another organisation");
        assert!(known(&key(2), tenant, &ann, then, &kept).is_none(), "another installation");
        for broken in
            ["", ".", "1800000000", "1800000000.", &kept[1..], &kept[..70], &format!("{kept}0"), "9.9", "x.y"]
        {
            assert!(!at(tenant, &ann, then, broken), "{broken}");
        }
        // Each device counts by itself.
        let other = remembered(&master, tenant, &ann, then + TimeDelta::seconds(1));
        let later = then + TimeDelta::hours(1);
        assert_ne!(known(&master, tenant, &ann, later, &kept), known(&master, tenant, &ann, later, &other));
    }
}
