//! Some people are erased in the middle of the storm, by the program that operators run, again and again until it says that it
//! is done.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::ids::UserId;
use quipu::erase::certificate::Signed;
use tokio::process::Command;
use tokio::time::Instant;

use super::promises::{Part, State};
use super::{People, plain_texts};

/// How long one run may take before it is cut off, which is one more way to break it.
const RUN_WITHIN: Duration = Duration::from_secs(60);
/// How long all may go on after the last fault.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// Erases whoever is to leave, spread over the time in which things break.
///
/// # Errors
/// If somebody is not erased in the end, or their certificate is none.
pub(super) async fn erase(people: Arc<People>, stormy: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    let leavers: Vec<(usize, UserId)> = {
        let book = people.book();
        let of = |it: &(usize, &super::promises::Person)| it.1.part == Part::Leaver;
        book.people.iter().enumerate().filter(of).map(|(at, it)| (at, it.user)).collect()
    };
    let count = u32::try_from(leavers.len()).unwrap_or(1);
    for (nth, (number, user)) in (1_u32..).zip(leavers) {
        tokio::time::sleep_until(begin + stormy * nth / (count + 1)).await;
        let deadline = begin + stormy + DONE_WITHIN;
        while !once(&people, user).await? {
            anyhow::ensure!(Instant::now() < deadline, "{user} was not erased in time");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let mut book = people.book();
        book.told("erasure");
        book.fact("identity.person-erased", user.uuid());
        book.others(number, usize::MAX, State::Ended);
        if let Some(it) = book.people.get_mut(number) {
            it.is_erased = true;
        }
    }
    Ok(())
}

/// One run. True if the person is erased.
async fn once(people: &People, user: UserId) -> anyhow::Result<bool> {
    let own = std::env::current_exe()?;
    let program = own.parent().context("a folder of programs")?.join("quipu");
    let file = |name: &str| people.folder.join(name);
    let (tenant, user_id) = (people.tenant.to_string(), user.to_string());
    let certificate = file(&format!("erasure-{user}.json"));
    let mut command = Command::new(program);
    command
        .args(["erase", "--json", "--tenant", &tenant, "--user", &user_id, "--confirm", &user_id, "--out"])
        .arg(&certificate)
        .env_clear()
        .env("QUIPU_DIR", file("stack"))
        .env("PLATFORM_DATABASE_URL_FILE", file("platform.url"))
        .env("PROJECTOR_DATABASE_URL_FILE", file("projector.url"))
        .env("NATS_URL_FILE", file("nats.url"))
        .env("QUIPU_KEY_DIR", file("keys"))
        .env("QUIPU_ERASURE_JOURNAL", file(crate::world::ERASURES))
        .current_dir(&people.folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(RUN_WITHIN, command.output()).await;
    let Ok(output) = ran else {
        people.book().lost("erasure");
        return Ok(false);
    };
    let output = output?;
    if !output.status.success() {
        people.book().lost("erasure");
        people.note(&serde_json::json!({
            "act": "erasure", "status": output.status.code(), "why": String::from_utf8_lossy(&output.stderr),
        }));
        return Ok(false);
    }
    let signed = Signed::parse(String::from_utf8(output.stdout)?.trim().as_bytes())?;
    if !signed.certificate.is_clean() {
        people.book().fault(format!("the certificate of {user} is not clean: {:?}", signed.certificate));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let person = people.book().people.iter().find(|it| it.user == user).cloned();
    if person.is_some_and(|it| plain_texts(&it).iter().any(|text| said.contains(text))) {
        people.book().fault(format!("the erasure of {user} says who it was"));
    }
    Ok(true)
}
