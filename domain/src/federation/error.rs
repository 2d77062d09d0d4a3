//! How this context says no, and the reference of it.

use std::collections::BTreeMap;

use crate::error::{CodeDoc, DomainError, ErrorKind};
use crate::ids::ProviderId;
use crate::words::Word;

/// Each command names those that it gives, in the order in which it looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FederationError {
    /// The text is not an [`super::Issuer`].
    #[error("an issuer is an https address without user, query and fragment, of 255 characters at most")]
    IssuerMalformed,
    /// The text is not a [`super::ReturnUri`].
    #[error(
        "people are sent back to an https address, or to one of their own machine, without user and fragment"
    )]
    ReturnUriMalformed,
    /// There are no providers of this kind.
    #[error("there are no providers of the kind {kind}")]
    KindUnknown {
        /// Which.
        kind: Word,
    },
    /// The name means something else in addresses.
    #[error("the name {name} is reserved")]
    NameReserved {
        /// Which.
        name: Word,
    },
    /// More scopes than may be asked for.
    #[error("a provider is asked for {max} scopes at most")]
    TooManyScopes {
        /// How many may.
        max: usize,
    },
    /// More domains than may be listed.
    #[error("a provider is trusted for {max} listed domains at most")]
    TooManyDomains {
        /// How many may.
        max: usize,
    },
    /// More return addresses than may be listed.
    #[error("a provider has {max} return addresses at most")]
    TooManyReturnUris {
        /// How many may.
        max: usize,
    },
    /// There is no such provider, or not any more.
    #[error("there is no provider {provider_id}")]
    ProviderNotFound {
        /// Which.
        provider_id: ProviderId,
    },
    /// It was removed, and its identifier is used up.
    #[error("the provider was removed")]
    ProviderGone,
    /// Who vouches for people cannot be exchanged under them.
    #[error("kind and issuer of a provider never change")]
    ProviderFixed,
    /// Another provider has the name.
    #[error("the name {name} belongs to another provider")]
    NameTaken {
        /// Which.
        name: Word,
    },
    /// The identifier is in use.
    #[error("a link with this id exists")]
    LinkExists,
    /// Somebody else signs in as this person of the provider.
    #[error("the identity is linked to another user")]
    IdentityTaken,
    /// The user signs in as another person of the provider already.
    #[error("the user has an identity of this provider")]
    AlreadyLinked,
    /// There is no such link, or it is somebody else's.
    #[error("there is no such link")]
    LinkNotFound,
    /// The link was given up, or is another user's.
    #[error("the identity is not linked to this user, or not any more")]
    NotLinked,
    /// Who has the address has not shown that it is theirs, so it may be somebody else.
    #[error("sign in in another way first, then link the provider")]
    LinkNeedsSignIn,
    /// The provider names no address, has not verified it, or is not trusted for its domain.
    #[error("the provider does not vouch for an address that the organisation takes its word for")]
    AddressNotVouched,
}

const ISSUER_MALFORMED: CodeDoc = CodeDoc::new(
    ErrorKind::Invalid,
    "federation.issuer-malformed",
    "a text cannot be the issuer of a provider",
    "use the address that its discovery document names as `issuer`, letter by letter",
);
const RETURN_URI_MALFORMED: CodeDoc = CodeDoc::new(
    ErrorKind::Invalid,
    "federation.return-uri-malformed",
    "nobody can be sent back to this address",
    "use an https address without user and fragment, or one of localhost",
);
const KIND_UNKNOWN: CodeDoc = CodeDoc::new(
    ErrorKind::Invalid,
    "federation.kind-unknown",
    "there are no providers of this kind",
    "use `oidc`, `google`, `microsoft` or `github`",
);
const NAME_RESERVED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "federation.name-reserved",
    "the name of a provider means something else in addresses",
    "choose another name",
);
const TOO_MANY_SCOPES: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "federation.too-many-scopes",
    "a provider would be asked for more scopes than may be",
    "ask for those alone that a sign-in needs",
);
const TOO_MANY_DOMAINS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "federation.too-many-domains",
    "a provider would be trusted for more listed domains than may be",
    "list fewer, or trust it for every domain if that is what you mean",
);
const TOO_MANY_RETURN_URIS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "federation.too-many-return-uris",
    "a provider would have more return addresses than may be",
    "list fewer",
);
const PROVIDER_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "federation.provider-not-found",
    "there is no such provider, or not any more",
    "see the list of providers",
);
const PROVIDER_GONE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.provider-gone",
    "the provider was removed, and its identifier is used up",
    "set up another one under a fresh identifier",
);
const PROVIDER_FIXED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.provider-fixed",
    "kind and issuer of a provider never change, since people are linked to who it says that they are",
    "remove it and set up another one",
);
const NAME_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.name-taken",
    "the name belongs to another provider of the organisation",
    "choose another name",
);
const LINK_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.link-exists",
    "the link's identifier is in use",
    "take a fresh identifier for each link",
);
const IDENTITY_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.identity-taken",
    "the identity at the provider is linked to another user",
    "sign in with it, or unlink it there first",
);
const ALREADY_LINKED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "federation.already-linked",
    "the user is linked to another identity of this provider",
    "unlink that one first",
);
const LINK_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "federation.link-not-found",
    "there is no such link, or it is another person's",
    "see the list of links",
);
const NOT_LINKED: CodeDoc = CodeDoc::new(
    ErrorKind::Unauthenticated,
    "federation.not-linked",
    "the identity at the provider is not linked to the user, or not any more",
    "sign in in another way",
);
const LINK_NEEDS_SIGN_IN: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "federation.link-needs-sign-in",
    "only somebody who is signed in can link this identity: whoever has its address here has not shown that it is theirs",
    "sign in in another way first, then link the provider",
);
const ADDRESS_NOT_VOUCHED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "federation.address-not-vouched",
    "the provider names no address, has not verified it, or is not trusted for its domain",
    "have the address verified at the provider; whoever runs the organisation can trust the provider for its domain; or sign in \
     in another way, then link the provider",
);

/// Every code of [`FederationError`].
pub const CODES: &[CodeDoc] = &[
    ISSUER_MALFORMED,
    RETURN_URI_MALFORMED,
    KIND_UNKNOWN,
    NAME_RESERVED,
    TOO_MANY_SCOPES,
    TOO_MANY_DOMAINS,
    TOO_MANY_RETURN_URIS,
    PROVIDER_NOT_FOUND,
    PROVIDER_GONE,
    PROVIDER_FIXED,
    NAME_TAKEN,
    LINK_EXISTS,
    IDENTITY_TAKEN,
    ALREADY_LINKED,
    LINK_NOT_FOUND,
    NOT_LINKED,
    LINK_NEEDS_SIGN_IN,
    ADDRESS_NOT_VOUCHED,
];

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[
    ("federation.issuer-malformed", ErrorKind::Invalid),
    ("federation.return-uri-malformed", ErrorKind::Invalid),
];

impl FederationError {
    const fn doc(&self) -> CodeDoc {
        match self {
            Self::IssuerMalformed => ISSUER_MALFORMED,
            Self::ReturnUriMalformed => RETURN_URI_MALFORMED,
            Self::KindUnknown { .. } => KIND_UNKNOWN,
            Self::NameReserved { .. } => NAME_RESERVED,
            Self::TooManyScopes { .. } => TOO_MANY_SCOPES,
            Self::TooManyDomains { .. } => TOO_MANY_DOMAINS,
            Self::TooManyReturnUris { .. } => TOO_MANY_RETURN_URIS,
            Self::ProviderNotFound { .. } => PROVIDER_NOT_FOUND,
            Self::ProviderGone => PROVIDER_GONE,
            Self::ProviderFixed => PROVIDER_FIXED,
            Self::NameTaken { .. } => NAME_TAKEN,
            Self::LinkExists => LINK_EXISTS,
            Self::IdentityTaken => IDENTITY_TAKEN,
            Self::AlreadyLinked => ALREADY_LINKED,
            Self::LinkNotFound => LINK_NOT_FOUND,
            Self::NotLinked => NOT_LINKED,
            Self::LinkNeedsSignIn => LINK_NEEDS_SIGN_IN,
            Self::AddressNotVouched => ADDRESS_NOT_VOUCHED,
        }
    }
}

impl DomainError for FederationError {
    fn code(&self) -> &'static str {
        self.doc().code
    }

    fn kind(&self) -> ErrorKind {
        self.doc().kind
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::KindUnknown { kind } => BTreeMap::from([("kind", kind.to_string())]),
            Self::NameReserved { name } | Self::NameTaken { name } => {
                BTreeMap::from([("name", name.to_string())])
            }
            Self::TooManyScopes { max } | Self::TooManyDomains { max } | Self::TooManyReturnUris { max } => {
                BTreeMap::from([("max", max.to_string())])
            }
            Self::ProviderNotFound { provider_id } => {
                BTreeMap::from([("provider_id", provider_id.to_string())])
            }
            _ => BTreeMap::new(),
        }
    }
}
