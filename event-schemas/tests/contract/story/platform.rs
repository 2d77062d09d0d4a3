//! The keys of the platform: one signs, another takes over.

use chrono::TimeDelta;
use domain::ids::{ImpersonationId, KeyId};
use domain::platform::signing_key::{BELIEVED_AFTER, EXPIRED, NOTICE};
use domain::platform::{
    ActivateSigningKey, AnnounceSigningKey, EndImpersonation, KeyName, PublicKey, RecordPermissions,
    RemoveSigningKey, RetireSigningKey, RoleGrants, StartImpersonation,
};
use domain::private::Private;
use domain::words::{Permission, Word};

use super::organisation::OLGA;
use super::{OPERATOR, Teller, Told, id, label};

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    let (first, second) = (KeyId::new(id(0x801)), KeyId::new(id(0x802)));
    let kid = KeyName::parse("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")?;
    let announce = |key_id, kid, byte, use_from| AnnounceSigningKey {
        key_id,
        kid,
        public_key: PublicKey::new([byte; 32]),
        use_from,
    };
    shop.tells(announce(first, kid.clone(), 0x11, shop.now))?;
    shop.tells(ActivateSigningKey { key_id: first })?;
    let other = KeyName::parse("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")?;
    shop.tells(announce(second, other, 0x22, shop.now + NOTICE))?;
    shop.now += NOTICE;
    shop.tells(RetireSigningKey { key_id: first })?;
    shop.tells(ActivateSigningKey { key_id: second })?;
    shop.now += BELIEVED_AFTER + TimeDelta::minutes(1);
    shop.tells(RemoveSigningKey { key_id: first, kid, because: EXPIRED })?;
    staff(shop)
}

fn staff(shop: &mut Teller) -> Told<()> {
    let grants = |role, names: &[&'static str]| RoleGrants {
        role: Word::of(role),
        permissions: names.iter().map(|it| Permission::of(it)).collect(),
    };
    let admin = grants("admin", &["ledger.post-transfer", "ledger.read-accounts"]);
    shop.tells(RecordPermissions { roles: vec![admin, grants("user", &["ledger.read-accounts"])] })?;
    let impersonation_id = ImpersonationId::new(id(0x803));
    shop.tells(StartImpersonation {
        impersonation_id,
        staff: OPERATOR,
        user_id: OLGA,
        reason: Private::new(OLGA.uuid(), "You asked us to look at your statement."),
        ticket: label("T-4711")?,
        until: shop.now + TimeDelta::minutes(30),
    })?;
    shop.tells(EndImpersonation { impersonation_id, because: Word::of("done"), by: OPERATOR })
}
