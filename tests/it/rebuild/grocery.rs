//! A month of a real shop, built again; and the whole year, where `QUIPU_GROCERY` names its file.

use std::path::{Path, PathBuf};

use tests::books::Books;
use tests::stack::Stack;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_equals_live_after_january_of_the_grocery() -> Test {
    let january = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/grocery/baskets-2017-01.csv.gz");
    let year = std::env::var_os("QUIPU_GROCERY").map(PathBuf::from);
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    quipu::demo::grocery(&year.unwrap_or(january), &stack.command_url, Some(&stack.query_url), &books.token)
        .await?;
    caught_up(&stack.database).await?;
    let before = digests(&stack.database).await?;
    let rebuilder = rebuilder(&stack.database)?;
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &Options::default(), &Control::default()).await?;
        assert!(outcome.comparison.as_ref().is_some_and(|it| it.is_equal()), "{outcome:?}");
    }
    assert_eq!(digests(&stack.database).await?, before);
    Ok(())
}
