//! Somebody who is in two organisations is erased in one of them: the other one loses the link, and nothing else.

use super::super::persons::Both;
use super::*;

const LINKS: &str = "select count(*) from vault.person_links where user_id = $1 or other_user_id = $1";
const UNLINKED: &str =
    "select count(*) from store.events where stream_id = $1 and type = 'identity.identities-unlinked'";
const PLACES: &str =
    "select count(*) from store.claims where stream_id = $1 and scope = 'identity.linked-organisation'";

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_in_one_organisation_stays_in_the_other_without_the_link() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.link().await?;
    let came_by_it = both.switched().await?;
    let operator = Operator::of(&stack)?;
    let certificate = certified(&operator.erase(both.acme.tenant, both.ann.user).await?)?.certificate;
    assert!(certificate.is_clean(), "{certificate:?}");
    for user in [both.ann.user, both.anna.user] {
        for (query, left) in [(LINKS, 0), (PLACES, 0), (UNLINKED, 1)] {
            assert_eq!(operator.count(&stack, query, user.uuid()).await?, left, "{query}");
        }
    }
    assert_eq!(both.list(&both.there.access).await?.len(), 1, "there is nobody else to be any more");
    assert!(both.globex.is_taken(&both.there.access).await?);
    until(PATIENCE, async || Ok(!both.globex.is_taken(&came_by_it.access).await?)).await?;
    // The other one can be erased too, and linked to nobody by then.
    let certificate = certified(&operator.erase(both.globex.tenant, both.anna.user).await?)?.certificate;
    assert!(certificate.is_clean(), "{certificate:?}");
    Ok(())
}
