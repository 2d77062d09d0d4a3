//! Where an organisation lets nobody enrol a factor, nobody does; and who has one already still shows it.

use anyhow::Context as _;
use domain::organisation::SecondFactor;
use serde_json::{Value, json};
use tests::authenticator::Authenticator;
use tests::person::{Organisation, PASSWORD};
use tests::stack::Stack;

use super::told;

type Test = anyhow::Result<()>;

const OFF: (u16, &str) = (409, "identity.factors-off");

#[tokio::test]
async fn nobody_enrols_a_factor_where_the_organisation_has_none() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, ben) = (acme.join("ann").await?, acme.join("ben").await?);
    let before = acme.sign_in(&ben).await?;
    acme.enrol(&before.access).await?;
    let own = acme.sign_in(&ann).await?;
    let none = Value::Null;
    let offered = acme.post(&own.access, "/v1/auth/totp", &none).await?;
    assert_eq!(offered.status.as_u16(), 200, "{}", offered.text);
    let uri = offered.json["uri"].as_str().unwrap_or_default();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains("%20%28"), "{uri}");
    // What was offered before is worth nothing either.
    acme.ask(|it| it.second_factor = SecondFactor::Off).await?;

    assert_eq!(told(&acme.post(&own.access, "/v1/auth/totp", &none).await?), OFF);
    let secret = offered.json["secret"].as_str().context("a seed")?;
    let body = json!({ "code": Authenticator::of(secret)?.code()? });
    assert_eq!(told(&acme.post(&own.access, "/v1/auth/totp/confirm", &body).await?), OFF);
    // Who has one is asked for it as before.
    let answered = acme.log_in(&ben.email, PASSWORD).await?;
    assert_eq!(told(&answered), (403, "identity.second-factor-required"));
    Ok(())
}
