//! Letters: what can be said in one, and how one is sealed and put into the outbox. How it reads and how it is sent is
//! the projector's business.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::VaultChange;
use crate::keyring::{Cell, KeyError, MasterKey};

/// Everything that we write to people about. It says nothing of how that reads in which language.
///
/// It is stored for as long as the letter waits. A mailer of an older build leaves a kind that it does not know to a newer
/// one. What it prints with `Debug` is its kind alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Mail {
    /// Whoever reads this shall prove that the address is theirs.
    VerifyAddress {
        /// What for.
        purpose: Purpose,
        /// The secret of the link.
        token: String,
        /// When the link ends.
        until: DateTime<Utc>,
    },
    /// Somebody registered with an address that has an account already.
    RegisteredAlready,
    /// The link to choose a new password with.
    Reset {
        /// The secret of the link.
        token: String,
        /// When the link ends.
        until: DateTime<Utc>,
    },
    /// An account was made for whoever reads this; the link chooses its first password.
    AccountMade {
        /// The name of the organisation.
        organisation: String,
        /// The secret of the link.
        token: String,
        /// When the link ends.
        until: DateTime<Utc>,
    },
    /// The password was changed.
    PasswordChanged {
        /// When.
        at: DateTime<Utc>,
    },
    /// The address of the account changes or has changed.
    AddressChanged {
        /// How far it has come.
        stage: AddressStage,
        /// When.
        at: DateTime<Utc>,
    },
    /// Come and join an organisation.
    Invitation {
        /// Its name.
        organisation: String,
        /// The name of whoever invites, if they may be named.
        inviter: Option<String>,
        /// The secret of the link.
        token: String,
        /// When the link ends.
        until: DateTime<Utc>,
    },
    /// Somebody signed in from a device that was not seen before.
    NewSignIn {
        /// When.
        at: DateTime<Utc>,
        /// What the device says that it is.
        device: Option<String>,
        /// The network address.
        address: Option<IpAddr>,
    },
    /// Too many wrong guesses: nobody can sign in for a while.
    Locked {
        /// When.
        at: DateTime<Utc>,
        /// When the lock ends by itself.
        until: DateTime<Utc>,
    },
    /// What the person signs in with beside a password came, went or was used.
    FactorsChanged {
        /// What happened.
        change: FactorChange,
        /// When.
        at: DateTime<Utc>,
    },
    /// A refresh token came back that had been exchanged: it was stolen, or its successor was. The session was ended.
    RefreshReused {
        /// When.
        at: DateTime<Utc>,
    },
    /// Staff of the platform act in the person's place for a while.
    Impersonated {
        /// Since when.
        at: DateTime<Utc>,
        /// When it ends at the latest.
        until: DateTime<Utc>,
        /// Why, in the words of whoever does it.
        reason: String,
        /// What it is about, as the platform's own books name it.
        ticket: String,
    },
    /// The platform decided about an organisation.
    OrganisationDecided {
        /// Its name.
        organisation: String,
        /// What was decided.
        decision: Ruling,
        /// Why, in the words of whoever decided.
        reason: Option<String>,
    },
    /// Everything about the person was erased. This letter is the last one.
    Erased {
        /// When.
        at: DateTime<Utc>,
        /// Under which the erasure is proven.
        receipt: Uuid,
    },
}

/// What an address is verified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A new account.
    Account,
    /// An account that is to have this address from now on.
    Change,
    /// A new organisation.
    Organisation,
}

/// What happened to the second factors of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorChange {
    /// An authenticator was enrolled.
    Added,
    /// It was removed by the person.
    Removed,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed by the person.
    PasskeyRemoved,
    /// All were removed by an administrator, since the person had lost them.
    RemovedByAdministrator,
    /// There are other recovery codes.
    CodesRenewed,
    /// A recovery code was used to sign in.
    CodeUsed,
    /// Somebody who is signed in as a user of another organisation can come from there.
    Linked,
    /// They cannot any more.
    Unlinked,
    /// Somebody can sign in by the word of a provider.
    ProviderLinked,
    /// They cannot any more, because the person gave it up.
    ProviderUnlinked,
    /// A program can act for the person, by a key that they made.
    KeyIssued,
}

/// How far a change of address has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressStage {
    /// It was asked for; the old address still holds.
    Asked,
    /// It is done.
    Done,
}

/// What the platform decided about an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// It may begin.
    Approved,
    /// It may not.
    Rejected,
    /// It is stopped for now.
    Suspended,
    /// It goes on.
    Reactivated,
    /// It has ended.
    Closed,
}

impl Mail {
    /// Its kind, as stored and as a metric or a list tells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::VerifyAddress { .. } => "verify-address",
            Self::RegisteredAlready => "registered-already",
            Self::Reset { .. } => "reset",
            Self::AccountMade { .. } => "account-made",
            Self::PasswordChanged { .. } => "password-changed",
            Self::AddressChanged { .. } => "address-changed",
            Self::Invitation { .. } => "invitation",
            Self::NewSignIn { .. } => "new-sign-in",
            Self::Locked { .. } => "locked",
            Self::FactorsChanged { .. } => "factors-changed",
            Self::RefreshReused { .. } => "refresh-reused",
            Self::Impersonated { .. } => "impersonated",
            Self::OrganisationDecided { .. } => "organisation-decided",
            Self::Erased { .. } => "erased",
        }
    }

    /// When its link ends, if it has one; from then on it is not worth sending.
    #[must_use]
    pub const fn link_ends(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::VerifyAddress { until, .. }
            | Self::Reset { until, .. }
            | Self::AccountMade { until, .. }
            | Self::Invitation { until, .. } => Some(*until),
            Self::RegisteredAlready
            | Self::PasswordChanged { .. }
            | Self::AddressChanged { .. }
            | Self::NewSignIn { .. }
            | Self::Locked { .. }
            | Self::FactorsChanged { .. }
            | Self::RefreshReused { .. }
            | Self::Impersonated { .. }
            | Self::OrganisationDecided { .. }
            | Self::Erased { .. } => None,
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// A language that we write in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// As a language tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// The language nearest to a tag such as `de-AT`; English if there is none.
    #[must_use]
    pub fn nearest(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|it| it.tag().eq_ignore_ascii_case(primary)).unwrap_or_default()
    }
}

/// Something that we write to somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The address, without a name.
    pub to: String,
    /// In which language.
    pub language: Language,
    /// What we write.
    pub mail: Mail,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mail.fmt(f)
    }
}

/// Under what a letter lies in the outbox.
#[derive(Debug, Clone)]
pub struct Slip {
    /// In whose outbox.
    pub tenant: TenantId,
    /// The letter; also its `Message-ID`, so that it is told apart from another, and a second copy of it is not.
    pub mail: Uuid,
    /// The person whom erasing takes the letter away from; none for what must be sent all the same.
    pub user: Option<Uuid>,
    /// What brought it about, at most 200 characters. One letter is sent for one cause, however often it is queued.
    pub dedupe: String,
}

impl Letter {
    /// The change that queues it.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn queued(&self, slip: Slip, master: &MasterKey) -> Result<VaultChange, KeyError> {
        let plain = serde_json::to_vec(self).map_err(|_| KeyError::Unsealable)?;
        let sealed = master.seal_cell(&cell(slip.tenant, slip.mail), &plain)?;
        Ok(VaultChange::QueueMail(QueuedMail {
            tenant: slip.tenant,
            mail: slip.mail,
            user: slip.user,
            dedupe: slip.dedupe,
            kind: self.mail.kind(),
            language: self.language,
            until: self.mail.link_ends(),
            sealed: hexadecimal(&sealed),
        }))
    }

    /// Reads a letter of the outbox.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] if it was sealed elsewhere or with another master key, or says something that this build
    /// does not know.
    pub fn open(tenant: TenantId, mail: Uuid, sealed: &[u8], master: &MasterKey) -> Result<Self, KeyError> {
        let plain = master.open_cell(&cell(tenant, mail), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| KeyError::Unopenable)
    }
}

const fn cell(tenant: TenantId, mail: Uuid) -> Cell<'static> {
    Cell { table: "outbox", tenant, row: mail, column: "sealed" }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A letter, sealed, on its way into the outbox.
#[derive(Clone, Serialize)]
pub struct QueuedMail {
    tenant: TenantId,
    mail: Uuid,
    user: Option<Uuid>,
    dedupe: String,
    kind: &'static str,
    language: Language,
    until: Option<DateTime<Utc>>,
    sealed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> MasterKey {
        MasterKey::new(&vec![7_u8; 32].into()).unwrap()
    }

    fn letter() -> Letter {
        let until = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mail = Mail::Reset { token: "qm_secret".to_owned(), until };
        Letter { to: "ada@example.org".to_owned(), language: Language::De, mail }
    }

    fn slip(n: u128) -> Slip {
        Slip {
            tenant: TenantId::new(Uuid::from_u128(n)),
            mail: Uuid::from_u128(9),
            user: Some(Uuid::from_u128(3)),
            dedupe: "reset/1".to_owned(),
        }
    }

    #[test]
    fn a_queued_letter_says_nothing_in_the_clear_and_opens_in_its_place_alone() {
        let change = letter().queued(slip(1), &master()).unwrap();
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!(json["do"], "queue_mail");
        assert_eq!(json["kind"], "reset");
        assert_eq!(json["language"], "de");
        assert!(json["until"].as_str().unwrap().starts_with("2027-01-15T08:00:00"));
        let shown = format!("{json} {change:?} {:?}", letter());
        assert!(!shown.contains("ada@") && !shown.contains("qm_"), "{shown}");

        let text = json["sealed"].as_str().unwrap();
        let sealed: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        let (tenant, mail) = (slip(1).tenant, slip(1).mail);
        assert_eq!(Letter::open(tenant, mail, &sealed, &master()).unwrap(), letter());
        assert!(Letter::open(slip(2).tenant, mail, &sealed, &master()).is_err());
        assert!(Letter::open(tenant, Uuid::from_u128(10), &sealed, &master()).is_err());
        let other = MasterKey::new(&vec![8_u8; 32].into()).unwrap();
        assert!(Letter::open(tenant, mail, &sealed, &other).is_err());
    }

    #[test]
    fn the_kind_of_a_letter_is_what_is_stored() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let token = || "t".to_owned();
        let all = [
            Mail::VerifyAddress { purpose: Purpose::Account, token: token(), until: at },
            Mail::RegisteredAlready,
            Mail::Reset { token: token(), until: at },
            Mail::AccountMade { organisation: token(), token: token(), until: at },
            Mail::PasswordChanged { at },
            Mail::AddressChanged { stage: AddressStage::Asked, at },
            Mail::Invitation { organisation: token(), inviter: None, token: token(), until: at },
            Mail::NewSignIn { at, device: None, address: None },
            Mail::Locked { at, until: at },
            Mail::FactorsChanged { change: FactorChange::CodeUsed, at },
            Mail::FactorsChanged { change: FactorChange::Linked, at },
            Mail::FactorsChanged { change: FactorChange::ProviderUnlinked, at },
            Mail::FactorsChanged { change: FactorChange::KeyIssued, at },
            Mail::RefreshReused { at },
            Mail::Impersonated { at, until: at, reason: token(), ticket: token() },
            Mail::OrganisationDecided { organisation: token(), decision: Ruling::Approved, reason: None },
            Mail::Erased { at, receipt: Uuid::nil() },
        ];
        for mail in all {
            let stored = serde_json::to_value(&mail).unwrap();
            assert_eq!(stored["kind"], mail.kind());
            assert_eq!(serde_json::from_value::<Mail>(stored).unwrap(), mail);
        }
    }

    #[test]
    fn the_nearest_language_is_taken() {
        for (tag, language) in [
            ("de", Language::De),
            ("de-AT", Language::De),
            ("DE_ch", Language::De),
            ("en-GB", Language::En),
            ("fr", Language::En),
            ("", Language::En),
            ("den", Language::En),
        ] {
            assert_eq!(Language::nearest(tag), language, "{tag}");
        }
    }
}
