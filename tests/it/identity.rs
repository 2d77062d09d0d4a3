//! Who people are and what they may do: secrets, sign-in, sessions.

mod access;
mod federation;
mod grpc;
mod mail;
mod members;
mod organizations;
mod recovery;
mod requests;
mod sign_in;
mod signing_keys;
mod tokens;
mod vault;
