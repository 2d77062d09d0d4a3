//! Devices that ask are taken in by the batch: one insert for all that came within a few milliseconds. A device whose typed code
//! another one has gets another code.

use std::time::Duration;

use event_store::vault::{AskingDevice, Vault};
use service_kit::problem::{Problem, code};
use service_kit::random;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Devices of one insert at most.
const BATCH_MAX: usize = 256;
/// How long the first one of a batch waits for others.
const BATCH_WAITS: Duration = Duration::from_millis(5);
/// Devices that wait to be taken in; one more is told to come back.
const WAITING_MAX: usize = 4_096;
/// How often a device gets another code.
const CODES_MAX: usize = 5;
/// How long a device has.
pub(super) const LASTS: Duration = Duration::from_secs(600);
/// How long it waits between two looks, in seconds.
pub(super) const EVERY_SECONDS: i16 = 5;

/// Letters of a code: no vowels, so it spells nothing, and no two that look alike (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code.
pub(super) const CODE_LETTERS: usize = 8;

/// The way in.
pub(super) struct Devices(mpsc::Sender<Asking>);

struct Asking {
    device: AskingDevice,
    tries: usize,
    answer: oneshot::Sender<Result<String, Problem>>,
}

impl Devices {
    /// Starts the task that takes devices in, until the last of these is gone.
    pub(super) fn start(vault: Vault) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(take_in(vault, receiver));
        Self(sender)
    }

    /// Takes a device in: the code that it shows.
    pub(super) async fn ask(&self, device: AskingDevice) -> Result<String, Problem> {
        let (answer, told) = oneshot::channel();
        let busy = || Problem::new(&code::OVERLOADED, "");
        self.0.try_send(Asking { device, tries: 0, answer }).map_err(|_| busy())?;
        told.await.map_err(|_| busy())?
    }
}

async fn take_in(vault: Vault, mut waiting: mpsc::Receiver<Asking>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        // Those that need another code go first.
        if batch.is_empty() {
            match waiting.recv().await {
                Some(first) => batch.push(first),
                None => return,
            }
        }
        let until = Instant::now() + BATCH_WAITS;
        while batch.len() < BATCH_MAX {
            match timeout_at(until, waiting.recv()).await {
                Ok(Some(next)) => batch.push(next),
                Ok(None) | Err(_) => break,
            }
        }
        batch = insert(&vault, std::mem::take(&mut batch)).await;
    }
}

/// Inserts a batch, answers those that are in, and gives back those that need another code.
async fn insert(vault: &Vault, batch: Vec<Asking>) -> Vec<Asking> {
    // Whoever does not wait any more need not be taken in.
    let batch: Vec<Asking> = batch.into_iter().filter(|it| !it.answer.is_closed()).collect();
    if batch.is_empty() {
        return batch;
    }
    let devices: Vec<AskingDevice> = batch.iter().map(|it| it.device.clone()).collect();
    let taken = vault.ask_devices(&devices, LASTS, EVERY_SECONDS).await;
    let mut again = Vec::new();
    for mut asking in batch {
        let told = match &taken {
            Ok(taken) if taken.contains(&asking.device.grant) => Ok(asking.device.user_code),
            Ok(_) if asking.tries < CODES_MAX => match user_code() {
                Ok(code) => {
                    asking.device.user_code = code;
                    asking.tries += 1;
                    again.push(asking);
                    continue;
                }
                Err(problem) => Err(problem),
            },
            Ok(_) => Err(Problem::new(&code::OVERLOADED, "")),
            Err(error) => Err(Problem::store_unavailable(error)),
        };
        // It may have gone away in the moment since.
        let _gone = asking.answer.send(told);
    }
    again
}

/// Eight letters, each as likely as any other.
pub(super) fn user_code() -> Result<String, Problem> {
    let mut code = String::with_capacity(CODE_LETTERS);
    while code.len() < CODE_LETTERS {
        // 240 is the largest multiple of 20 that a byte holds: what is over would make the first letters likelier.
        for byte in random::bytes::<16>()?.into_iter().filter(|it| *it < 240).take(CODE_LETTERS - code.len())
        {
            let place = usize::from(byte) % LETTERS.len();
            code.extend(LETTERS.get(place).map(|it| char::from(*it)));
        }
    }
    Ok(code)
}

/// What somebody typed, as the vault has it: small letters, spaces and dashes are forgiven (RFC 8628 section 6.1). Nothing, if
/// it can be no code.
pub(super) fn typed(text: &str) -> Option<String> {
    // Whatever is longer is no slip of the hand.
    let text = (text.len() <= 4 * CODE_LETTERS).then_some(text)?;
    let letters =
        text.chars().filter(|it| !it.is_whitespace() && *it != '-').map(|it| it.to_ascii_uppercase());
    let code: String = letters.collect();
    let is_code = code.len() == CODE_LETTERS && code.bytes().all(|it| LETTERS.contains(&it));
    is_code.then_some(code)
}

/// A code as it is shown.
pub(super) fn spelt(code: &str) -> String {
    match code.split_at_checked(CODE_LETTERS / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_letters_that_nobody_confuses_and_are_read_as_people_type() {
        for _ in 0..1_000 {
            let code = user_code().unwrap();
            assert_eq!(typed(&code).as_ref(), Some(&code));
            let shown = spelt(&code);
            assert_eq!((shown.len(), typed(&shown)), (9, Some(code.clone())));
            assert_eq!(typed(&format!(" {} ", shown.to_lowercase().replace('-', " "))), Some(code));
        }
        for text in ["", "BCDF", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "BCDFGHJ\0", &"B".repeat(33)] {
            assert_eq!(typed(text), None, "{text}");
        }
    }

    #[test]
    fn every_letter_is_as_likely_as_any_other() {
        let mut counts = std::collections::BTreeMap::<char, u32>::new();
        for _ in 0..5_000 {
            user_code().unwrap().chars().for_each(|it| *counts.entry(it).or_default() += 1);
        }
        // 40,000 letters, 2,000 of each; six standard deviations are 262.
        assert_eq!(counts.len(), LETTERS.len());
        assert!(counts.values().all(|it| it.abs_diff(2_000) < 262), "{counts:?}");
    }
}
