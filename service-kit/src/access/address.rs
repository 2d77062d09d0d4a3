//! From where and with what a request comes.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

/// Characters of a user agent that are kept.
const USER_AGENT_CHARS_MAX: usize = 256;
/// Forwarded addresses that are looked at.
const FORWARDED_MAX: usize = 32;

/// The other end of the connection; the accept loop puts it into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Whom a request is from: the peer, or what trusted proxies say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Walks X-Forwarded-For from its right end, as long as each hop is a trusted proxy; what stands further left was
    /// written by strangers.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |it: &IpAddr| trusted.iter().any(|net| net.contains(it));
        let mut client = peer.to_canonical();
        if trusted.is_empty() || !is_trusted(&client) {
            return Self(client);
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|it| it.to_str().ok());
        let hops: Vec<&str> = lines.flat_map(|it| it.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev().take(FORWARDED_MAX) {
            let Some(address) = forwarded(hop) else { break };
            client = address;
            if !is_trusted(&client) {
                break;
            }
        }
        Self(client)
    }
}

fn forwarded(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse::<IpAddr>().ok();
    bare.or_else(|| hop.parse::<SocketAddr>().ok().map(|it| it.ip())).map(|it| it.to_canonical())
}

/// What a client says that it is, cut and without control characters.
#[must_use]
pub fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().filter(|it| !it.is_control()).take(USER_AGENT_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for it in forwarded {
            headers.append("x-forwarded-for", it.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|it| it.parse().unwrap()).collect();
        ClientAddress::of(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("10.0.0.1", &["6.6.6.6"], &[]), "10.0.0.1");
        assert_eq!(client("6.6.6.6", &["1.2.3.4"], &["10.0.0.0/8"]), "6.6.6.6");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, 1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["9.9.9.9", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4:80"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }
}
