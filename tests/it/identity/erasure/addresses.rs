//! Of the addresses that somebody has had or asked for, those count as theirs that they have shown to be: what was sent to
//! another one is somebody else's.

use domain::identity::{ConfirmEmailChange, RequestEmailChange};
use event_store::Unit;
use event_store::vault::{Language, Letter, Mail, Slip};
use tests::database::cause;
use tests::ledger::accepted;

use super::*;

/// Somebody is invited at an address, and the letter waits.
async fn invite(stack: &Stack, org: &Organisation<'_>, email: &str) -> anyhow::Result<Uuid> {
    let id = Uuid::now_v7();
    let invite = Invite {
        invitation_id: InvitationId::new(id),
        email: Private::new(id, email),
        email_hash: hash(org, email)?,
        holder: None,
        roles: vec![RoleRef::USER],
        expires_at: Utc::now() + TimeDelta::days(7),
        by: Granter::Platform,
        table: role_table(org.tenant).clone(),
    };
    let mail = Mail::Invitation {
        organisation: "Shop".to_owned(),
        inviter: None,
        token: "qm_x".to_owned(),
        until: Utc::now(),
    };
    let letter = Letter { to: email.to_owned(), language: Language::En, mail };
    let slip = Slip { tenant: org.tenant, mail: Uuid::now_v7(), user: None, dedupe: id.to_string() };
    let unit = Unit::new(org.tenant, cause(), invite).with_vault([letter.queued(slip, &org.master()?)?]);
    accepted(&stack.executor()?.submit(unit).await?)?;
    Ok(id)
}

fn hash(org: &Organisation<'_>, email: &str) -> anyhow::Result<EmailHash> {
    Ok(EmailHash::new(org.master()?.index(org.tenant, IndexOf::Email, email.as_bytes()).0))
}

/// A person asks for an address, as number 2 of theirs.
async fn asks_for(org: &Organisation<'_>, person: &Person, email: &str) -> Test {
    org.done(RequestEmailChange {
        user_id: person.user,
        email: Private::new(person.user.uuid(), email),
        email_hash: hash(org, email)?,
        expires_at: Utc::now() + TimeDelta::days(1),
        replaces: None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_to_an_address_that_was_only_asked_for_stays() -> Test {
    let stack = Stack::commands_only().await?;
    let org = Organisation::found(&stack, "shop").await?;
    make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let (wanted, typed) = ("perdita@elsewhere.example", "eve@example.com");
    let (invited, too) = (invite(&stack, &org, wanted).await?, invite(&stack, &org, typed).await?);
    // One asks for another's address, the other registers with it; neither ever shows that it is theirs.
    let mallory = org.join("mallory").await?;
    asks_for(&org, &mallory, wanted).await?;
    let eve = org.register("eve").await?;
    assert_eq!(eve.email, typed);
    for (person, invitation) in [(mallory, invited), (eve, too)] {
        let certificate = certified(&operator.erase(org.tenant, person.user).await?)?.certificate;
        assert!(certificate.is_clean(), "{certificate:?}");
        assert_eq!(certificate.subjects, [person.user.uuid()]);
        for (query, left) in [(KEYS, 1), (TOMBSTONES, 0), (CLAIMS, 1)] {
            assert_eq!(operator.count(&stack, query, invitation).await?, left, "{query}");
        }
        assert_eq!(
            operator.count(&stack, CLAIMS, person.user.uuid()).await?,
            0,
            "of their own nothing stays"
        );
    }
    let waiting: BTreeSet<String> = org.letters("invitation").await?.into_iter().map(|it| it.to).collect();
    assert_eq!(waiting, [wanted, typed].map(ToOwned::to_owned).into(), "their owners are still told");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_to_an_address_that_somebody_has_had_goes_with_them() -> Test {
    let stack = Stack::commands_only().await?;
    let org = Organisation::found(&stack, "shop").await?;
    make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let ann = org.join("ann").await?;
    let new = "ann@elsewhere.example";
    asks_for(&org, &ann, new).await?;
    org.done(ConfirmEmailChange {
        user_id: ann.user,
        email_version: 2,
        email_hash: hash(&org, new)?,
        gives_up: (1, hash(&org, &ann.email)?),
    })
    .await?;
    let invited = invite(&stack, &org, &ann.email).await?;
    let certificate = certified(&operator.erase(org.tenant, ann.user).await?)?.certificate;
    assert!(certificate.is_clean(), "{certificate:?}");
    assert_eq!(certificate.subjects, [ann.user.uuid(), invited]);
    for (query, left) in [(KEYS, 0), (TOMBSTONES, 1), (CLAIMS, 0)] {
        assert_eq!(operator.count(&stack, query, invited).await?, left, "{query}");
    }
    assert!(org.letters("invitation").await?.is_empty());
    Ok(())
}
