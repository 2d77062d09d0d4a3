//! The gRPC protocol as types: messages, servers, clients, and its description for those who ask for it.
//!
//! `proto/` is what is written by hand; everything else here is made from it by `examples/generate.rs` and checked in. It
//! holds no rule and knows nothing of the product; the services are in command-api.
//!
//! To add a method: write it into `proto/`; name its messages in `SECRET` of the example and in `secret!` below, if they
//! hold one; run the example; implement it in `command-api/src/grpc/auth.rs`; and list it in `OPEN` of
//! `command-api/src/grpc.rs` only if it is for callers without a token.
//!
//! **Invariant:** a message that holds a secret shows nothing of it when it is formatted.

use std::fmt;

use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;

#[rustfmt::skip]
pub mod client;
#[rustfmt::skip]
pub mod messages;
#[rustfmt::skip]
pub mod server;

pub use prost_types::Timestamp;

/// The protocol, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// A method that a description names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method {
    /// Its service, with its package.
    pub service: String,
    /// Where it is called: `/<service>/<name>`.
    pub path: String,
    /// Whether the client may go on sending.
    pub takes_a_stream: bool,
}

/// Every method of a description.
///
/// # Errors
/// If it is no encoded `FileDescriptorSet`.
pub fn methods(descriptors: &[u8]) -> Result<Vec<Method>, DecodeError> {
    let files = FileDescriptorSet::decode(descriptors)?.file;
    let services = files.iter().flat_map(|file| file.service.iter().map(|it| (file.package(), it)));
    Ok(services
        .flat_map(|(package, service)| {
            let name = if package.is_empty() {
                service.name().to_owned()
            } else {
                format!("{package}.{}", service.name())
            };
            service.method.iter().map(move |method| Method {
                path: format!("/{name}/{}", method.name()),
                service: name.clone(),
                takes_a_stream: method.client_streaming(),
            })
        })
        .collect())
}

macro_rules! secret {
    ($($message:ident)*) => {
        $(impl fmt::Debug for messages::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        })*
    };
}

secret! { SignUpRequest LoginRequest LoginResponse ResetPasswordRequest ValidateTokenRequest }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_the_methods() {
        let found = methods(DESCRIPTORS).unwrap();
        let path = "/quipu.auth.v1.AuthService/ValidateToken".to_owned();
        let service = "quipu.auth.v1.AuthService".to_owned();
        assert!(found.contains(&Method { service, path, takes_a_stream: false }), "{found:?}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let access_token = "eyJ-a-secret".to_owned();
        let shown = format!("{:?}", messages::ValidateTokenRequest { access_token });
        assert!(!shown.contains("a-secret"), "{shown}");
    }
}
