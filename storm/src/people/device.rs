//! A device without a keyboard that somebody lets in, and two that poll with its code at the same moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::relying::DEVICE;
use tests::stack::{Answer, answer};
use tests::tab::{Tab, hidden};
use tokio_util::sync::CancellationToken;

use super::promises::Person;
use super::{People, SLUG};

/// How often a code is shown.
const POLLS_MAX: usize = 4;
/// What a device must wait between two polls, and a little more.
const INTERVAL: Duration = Duration::from_millis(5_500);

impl People {
    /// Registers what devices belong to, in the name of an owner who has just signed in.
    pub(super) async fn device_service(&self, owner: &Person) -> anyhow::Result<String> {
        let access = self.signed_in(owner).await?.access;
        let body = json!({
            "name": "Kiosk", "confidential": false, "grants": ["device-code", "refresh-token"], "scopes": ["openid"],
        });
        let made = answer(self.at(0, Method::POST, &access, "/v1/services").json(&body)).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        Ok(made.json.get("client_id").and_then(serde_json::Value::as_str).context("a client")?.to_owned())
    }

    fn form(&self, api: usize, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let client = [("client_id", self.service.as_str())];
        // Nothing in it has to be escaped but the colons of the grant's name.
        let pairs: Vec<String> = fields
            .iter()
            .chain(&client)
            .map(|(name, value)| format!("{name}={}", value.replace(':', "%3A")))
            .collect();
        let request = self.at(api, Method::POST, "", path);
        request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
    }

    fn poll(&self, api: usize, device: &str) -> RequestBuilder {
        self.form(api, "/oauth2/token", &[("grant_type", DEVICE), ("device_code", device)])
    }
}

/// Lets one device in after the other until told to stop.
///
/// # Errors
/// Never.
pub(super) async fn let_in(people: Arc<People>, mut rng: Rng, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() && people.book().has_room() {
        one(&people, &mut rng, &stop).await;
        stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await;
    }
    Ok(())
}

async fn one(people: &People, rng: &mut Rng, stop: &CancellationToken) {
    let api = rng.usize(0..2);
    let asked = people.form(api, "/oauth2/device_authorization", &[("scope", "openid")]);
    let Some(told) = people.ask("device", asked).await else { return };
    let text = |name: &str| told.json.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(device), Some(user_code)) = (text("device_code"), text("user_code")) else {
        people.book().fault(format!("a device got no code: {} {}", told.status, told.text));
        return;
    };
    let Some(owner) = people.owner.clone() else { return };
    // What the pages tell somebody whose answers were lost is to begin again: this device is then never let in.
    if allow(people, api, &owner, &user_code).await.is_err() {
        people.book().lost("device-let-in");
        return;
    }
    let (mut good, mut lost, mut last) = (0, 0, None);
    for _ in 0..POLLS_MAX {
        stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
        let (one, other) = tokio::join!(
            people.ask("device-code", people.poll(0, &device)),
            people.ask("device-code", people.poll(1, &device))
        );
        for told in [one, other] {
            match told {
                Some(told) if told.status == StatusCode::OK => good += 1,
                Some(told) => last = Some(told),
                None => lost += 1,
            }
        }
        if good > 0 || last.as_ref().is_some_and(is_over) || stop.is_cancelled() {
            break;
        }
    }
    // Whoever has its tokens shows the code once more.
    if let Some(told) = people.ask("device-code", people.poll(rng.usize(0..2), &device)).await {
        good += u32::from(told.status == StatusCode::OK);
    }
    let mut book = people.book();
    book.codes.push(good);
    if good == 1 {
        book.told("device-code");
    }
    if good == 0 && lost == 0 && last.as_ref().is_some_and(is_over) {
        book.fault(format!("a device that was let in got nothing: {:?}", last.map(|it| it.text)));
    }
}

/// Whether the code is good for nothing any more.
fn is_over(told: &Answer) -> bool {
    told.json.get("error").and_then(Value::as_str) == Some("invalid_grant")
}

/// An owner goes through the pages.
async fn allow(people: &People, api: usize, owner: &Person, user_code: &str) -> anyhow::Result<()> {
    let base = people.commands.get(api).context("a command API")?;
    let password = owner.passwords.first().context("a password")?;
    let mut tab = Tab::at(base)?;
    let within = async {
        tab.get(&format!("/sign-in?organization={SLUG}")).await?;
        let fields = [("organization", SLUG), ("email", owner.email.as_str()), ("password", password)];
        let done = tab.send("/sign-in", &fields).await?;
        anyhow::ensure!(done.status == StatusCode::SEE_OTHER, "{}", done.status);
        tab.get("/device").await?;
        let page = tab.send("/device", &[("user_code", user_code)]).await?;
        let ticket = hidden(&page.text, "ticket").context("a ticket")?;
        let done = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
        anyhow::ensure!(done.status == StatusCode::OK, "{}", done.status);
        Ok(())
    };
    tokio::time::timeout(super::ANSWER_WITHIN * 3, within).await?
}
