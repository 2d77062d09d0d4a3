//! Mail: how a letter reads ([`render`]), and how it is handed to a server ([`Transport`]). Which letters are due is the
//! mailer's business (`reactors/mail.rs`).
//!
//! What a person typed stands in a letter only as [`words::said`] makes it: one line, without control characters, and
//! without anything that a mail program turns into a link. So nobody can make us write an advertisement to a stranger.

mod called;
mod page;
mod smtp;
mod words;

pub use called::{Called, called};
pub use page::{Page, render};
pub(crate) use smtp::SEND_TIME_MAX;
pub use smtp::{MailOptions, Refusal, Transport};
