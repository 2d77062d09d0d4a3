//! Free ports on the loopback interface.
//!
//! A port is only seen to be free, not held: whoever starts a server on it must check afterwards that it is the one
//! who answers there.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// The preferred port if nobody has it, any free one otherwise.
pub(crate) fn free_port(preferred: Option<u16>, taken: &[u16]) -> anyhow::Result<u16> {
    if let Some(port) = preferred
        && !taken.contains(&port)
        && is_free(port)
    {
        return Ok(port);
    }
    for _ in 0..64 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .context("there is no free port on 127.0.0.1")?
            .port();
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
    anyhow::bail!("there is no free port on 127.0.0.1")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
