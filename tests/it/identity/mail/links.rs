//! Links of letters: which of several is good, and until when.

use anyhow::Context as _;
use chrono::Utc;
use event_store::vault::{MailTokenKind, Vault, VaultChange};
use futures_util::future::try_join_all;
use tests::database::{Database, tenant};
use uuid::Uuid;

use super::{ABOUT, Test, apply, hash, in_an_hour, link};

#[tokio::test(flavor = "multi_thread")]
async fn of_all_links_about_one_thing_the_newest_is_good_and_looking_consumes_nothing() -> Test {
    let database = Database::fresh().await?;
    let vault = Vault::new(database.pool("quipu_command")?);
    let found = async |n: u8| {
        vault.mail_token(tenant(1), Uuid::from_u128(u128::from(n)), MailTokenKind::Reset, hash(n)).await
    };
    let made: Vec<VaultChange> = (1..=20).map(|n| link(n, None, in_an_hour())).collect();
    try_join_all(made.chunks(1).map(|it| apply(&database, tenant(1), it))).await?;
    let mut good = Vec::new();
    for n in 1..=20 {
        good.extend(found(n).await?.map(|_| n));
    }
    assert_eq!(good.len(), 1, "however many are made at once: {good:?}");

    apply(&database, tenant(1), &[link(21, None, in_an_hour())]).await?;
    assert_eq!(found(good[0]).await?, None, "replaced");
    for _ in 0..2 {
        let token = found(21).await?.context("the newest is good")?;
        assert_eq!((token.about, token.version, token.address_hash), (ABOUT, 21, Some(hash(0))));
    }
    let id = Uuid::from_u128(21);
    assert_eq!(
        vault.mail_token(tenant(1), id, MailTokenKind::Reset, hash(20)).await?,
        None,
        "a wrong secret"
    );
    assert_eq!(
        vault.mail_token(tenant(1), id, MailTokenKind::VerifyAddress, hash(21)).await?,
        None,
        "a wrong kind"
    );
    assert_eq!(
        vault.mail_token(tenant(2), id, MailTokenKind::Reset, hash(21)).await?,
        None,
        "a wrong tenant"
    );
    apply(&database, tenant(1), &[VaultChange::UseMailToken { tenant: tenant(1), token: id }]).await?;
    assert_eq!(found(21).await?, None, "used");
    apply(&database, tenant(1), &[link(22, None, Utc::now())]).await?;
    assert_eq!(found(22).await?, None, "over");
    apply(&database, tenant(1), &[link(23, None, in_an_hour())]).await?;
    let drop = VaultChange::DropMailTokens { tenant: tenant(1), kind: MailTokenKind::Reset, about: ABOUT };
    apply(&database, tenant(1), &[drop]).await?;
    assert_eq!(found(23).await?, None, "taken back");
    Ok(())
}
