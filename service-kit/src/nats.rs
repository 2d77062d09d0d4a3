//! The connection to NATS. It is never the record: a server that is down holds nobody up, but one that is too old or
//! lacks JetStream is refused as soon as it answers.

use std::str::FromStr;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, ServerAddr, ServerInfo};
use secrecy::ExposeSecret;

use crate::config::{ConfigError, NatsConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why a NATS server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client cannot be made.
    #[error("cannot connect to NATS: {0}")]
    Connect(#[from] async_nats::ConnectError),
    /// It answers, but not as it must.
    #[error("NATS_URL: {0}")]
    Unfit(String),
}

/// Makes a client, which connects in the background and goes on trying, so NATS may be down. Call
/// [`verify`] when it must be there.
pub async fn connect(config: &NatsConfig, name: &'static str) -> Result<Client, NatsError> {
    let (server, login) = server_and_login(config.url()?.expose_secret())?;
    let mut options = ConnectOptions::new();
    // The library parses user:password of the URL and never uses it.
    if let Some((user, password)) = login {
        options = options.user_and_password(user, password);
    }
    let client = options
        .name(name)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .retry_on_initial_connect()
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts.min(6)).unwrap_or(6);
            RETRY_MAX.min(RETRY_MIN.saturating_mul(1 << doublings))
        })
        .event_callback(|event| async move { tracing::info!(%event, "nats") })
        .connect(server)
        .await?;
    Ok(client)
}

/// Waits for the connection at most this long, then checks the server; false if it has not answered by then.
pub async fn verify(client: &Client, wait: Duration) -> Result<bool, NatsError> {
    match tokio::time::timeout(wait, client.flush()).await {
        Ok(Ok(())) => check(&client.server_info()).map(|()| true),
        _ => Ok(false),
    }
}

fn check(server: &ServerInfo) -> Result<(), NatsError> {
    let mut numbers = server.version.split(['.', '-']).map(|it| it.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    let fit = version >= (2, 14, 0) || ((2, 12, 7)..(2, 13, 0)).contains(&version);
    if !fit {
        let text = format!("the server is {}: use 2.12.7 or later of 2.12, or 2.14 or later", server.version);
        return Err(NatsError::Unfit(text));
    }
    if !server.jetstream {
        return Err(NatsError::Unfit(
            "the server has no JetStream: start it with -js and a --store_dir".to_owned(),
        ));
    }
    Ok(())
}

fn server_and_login(url: &str) -> Result<(ServerAddr, Option<(String, String)>), ConfigError> {
    let bad = || {
        let mend = "write nats://user:password@host:4222, with %-escapes in the password";
        ConfigError::new("NATS_URL", "it is not a NATS URL", mend)
    };
    let (before, after) = url.trim().split_once("://").unwrap_or(("nats", url.trim()));
    let (login, place) = match after.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, after),
    };
    if place.is_empty() {
        return Err(bad());
    }
    let server = ServerAddr::from_str(&format!("{before}://{place}")).map_err(|_| bad())?;
    let login = match login {
        Some(it) => {
            let (user, password) = it.split_once(':').unwrap_or((it, ""));
            Some((unescaped(user).ok_or_else(bad)?, unescaped(password).ok_or_else(bad)?))
        }
        None => None,
    };
    Ok((server, login))
}

/// Text without its %-escapes; `None` if one is no escape, or they do not make text.
pub(crate) fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_taken_out_of_the_url() {
        let (server, login) = server_and_login("nats://us%40er:p%3Aw@h:4223").unwrap();
        assert_eq!((server.host(), server.port()), ("h", 4223));
        assert!(!server.has_user_pass());
        assert_eq!(login, Some(("us@er".to_owned(), "p:w".to_owned())));
        assert_eq!(server_and_login("nats://h").unwrap().1, None);
        assert_eq!(server_and_login("h:4222").unwrap().0.port(), 4222);
        for bad in ["nats://u:p%zz@h", "nats://", "nats://u:p@"] {
            let error = server_and_login(bad).unwrap_err().to_string();
            assert!(error.contains("NATS_URL") && !error.contains("p%zz"), "{error}");
        }
    }

    #[test]
    fn old_servers_and_servers_without_jetstream_are_refused() {
        let fit = |version: &str, jetstream: bool| {
            check(&ServerInfo { version: version.to_owned(), jetstream, ..ServerInfo::default() }).is_ok()
        };
        for good in ["2.12.7", "2.12.12", "2.14.0", "2.15.1", "3.0.0", "2.14.0-RC.1"] {
            assert!(fit(good, true), "{good}");
            assert!(!fit(good, false), "{good}");
        }
        for old in ["2.9.10", "2.12.6", "2.13.0", "2.13.9", "1.4.1", "", "x"] {
            assert!(!fit(old, true), "{old}");
        }
    }
}
