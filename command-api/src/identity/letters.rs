//! Letters that go out with what is committed, and with nothing else: a reactor sends what the vault has queued.

use domain::ids::TenantId;
use domain::words::Language;
use event_store::vault::{Language as MailLanguage, Letter, Mail, Slip, VaultChange};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::Identity;

/// A letter to somebody.
pub(super) struct NewLetter<'a> {
    pub tenant: TenantId,
    /// About whom it is: it goes with what is erased of them.
    pub about: Uuid,
    pub to: &'a EmailAddress,
    /// It is written in the nearest one that there is.
    pub language: &'a Language,
    pub mail: Mail,
    /// What it is caused by: of two letters of one cause, one goes out.
    pub cause: String,
}

impl Identity {
    /// What queues a letter.
    ///
    /// # Errors
    /// If it cannot be sealed, which is a fault.
    pub(super) fn letter(&self, it: NewLetter<'_>) -> Result<VaultChange, Problem> {
        let language = MailLanguage::nearest(it.language.as_str());
        let letter = Letter { to: it.to.mailbox().to_owned(), language, mail: it.mail };
        let slip = Slip { tenant: it.tenant, mail: Uuid::now_v7(), user: Some(it.about), dedupe: it.cause };
        letter.queued(slip, &self.parts().master).map_err(|error| Problem::fault(&error))
    }
}
