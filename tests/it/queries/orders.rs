//! Every list is read from either end, and a cursor is of the end from which it was begun.

use std::collections::BTreeSet;

use domain::ids::UserId;
use tests::books::{page, transfer};
use tests::database::tenant;
use tests::members::{Members, inhabit};
use tests::stack::Stack;
use uuid::Uuid;

use super::Test;
use crate::matrix::{PERSON, books, every_read};

/// What comes page by page in an order that is its own: by time, by currency, by identifier.
const OF_ONE_ORDER: [&str; 3] = [
    "/v1/ledger/accounts/{account_id}/statement",
    "/v1/ledger/trial-balance",
    "/v1/permissions/{permission}/holders",
];

/// Lists of which the books of this test have several rows.
const LONG: [&str; 14] = [
    "/v1/api-keys",
    "/v1/audit",
    "/v1/events",
    "/v1/invitations",
    "/v1/ledger/accounts",
    "/v1/ledger/accounts/{account_id}/entries",
    "/v1/ledger/transfers",
    "/v1/members",
    "/v1/security-feed",
    "/v1/services",
    "/v1/sign-ins",
    "/v1/streams/{category}/{stream_id}",
    "/v1/users",
    "/v1/users/{user_id}/sessions",
];

/// The paths that take a parameter.
fn taking(parameter: &str) -> anyhow::Result<BTreeSet<String>> {
    let document = serde_json::to_value(query_api::document())?;
    let paths = document["paths"].as_object().into_iter().flatten();
    let takes = paths.filter(|(_, item)| {
        let mut parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        parameters.any(|it| it["name"] == parameter)
    });
    Ok(takes.map(|(path, _)| path.clone()).collect())
}

#[test]
fn every_list_can_be_read_from_either_end() -> Test {
    let mut lists = taking("cursor")?;
    for path in OF_ONE_ORDER {
        assert!(lists.remove(path), "{path}");
    }
    assert_eq!(taking("order")?, lists);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_from_its_other_end_is_the_same_backwards() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    inhabit(&stack.executor()?, tenant(1)).await?;
    let members = Members::of(&stack, tenant(1))?;
    for _ in 0..2 {
        members.session(UserId::new(Uuid::from_u128(PERSON))).await?;
        books.transfer(&transfer(0, 1, "0.10")).await?;
    }
    let (lists, mut long) = (taking("order")?, BTreeSet::new());
    for row in every_read().into_iter().filter(|it| lists.contains(it.template)) {
        let sign = if row.path.contains('?') { '&' } else { '?' };
        let of = |order: &str| format!("{}{sign}order={order}", row.path);
        books.settle(&row.path).await?;
        let newest = books.all(&of("newest"), 2).await?;
        let mut oldest = books.all(&of("oldest"), 2).await?;
        // What came meanwhile is at its end: that a list was read is an event itself.
        oldest.truncate(newest.len());
        oldest.reverse();
        assert_eq!(newest, oldest, "{}", row.path);
        for (order, other) in [("newest", "oldest"), ("oldest", "newest")] {
            let first = books.read(&page(&of(order), 1, None)).await?.json;
            let Some(cursor) = first["next_cursor"].as_str() else { continue };
            let refused = books.ask(&page(&of(other), 1, Some(cursor))).await?;
            let told = (refused.status.as_u16(), refused.code());
            assert_eq!(told, (400, "read.cursor-invalid"), "{} {other}", row.path);
            long.insert(row.template);
        }
    }
    for list in LONG {
        assert!(long.contains(list), "{list} has several rows");
    }
    Ok(())
}
