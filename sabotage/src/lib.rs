//! Switches that take a guard away, so that the tests can show that it is needed. Only in builds made for that: in any
//! other one, [`stands`] is a constant, and the compiler removes the question.
//!
//! Most guards are asked for where they stand. Those that are written in SQL are taken away by the tests' database
//! before a test begins; which tests a missing guard must break is told in the tests.

macro_rules! guards {
    ($($(#[$doc:meta])* $guard:ident $name:literal;)*) => {
        /// A guard that tests may remove.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Guard {
            $($(#[$doc])* $guard,)*
        }

        impl Guard {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$guard),*];

            /// The name by which the switch is set.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$guard => $name,)*
                }
            }
        }
    };
}

guards! {
    /// The comparison of read streams with their last versions.
    VersionCheck "version-check";
    /// The same comparison for a batch that writes nothing, because everything in it is refused.
    RefusalCheck "refusal-check";
    /// The second judgement of what was judged on top of a batch that did not land.
    JudgedAnew "judged-anew";
    /// The idempotency record in the transaction of the effect.
    IdempotencyRecord "idempotency-record";
    /// The actor in the scope of an idempotency key.
    KeyOfActor "key-of-actor";
    /// The answer only after the commit.
    CommitBeforeAnswer "commit-before-answer";
    /// The commit only once it is on disk.
    SynchronousCommit "synchronous-commit";
    /// The expiry of holds before a command that meets their account.
    HoldExpiry "hold-expiry";
    /// What a state restored from its newest event lacks, added from the claims.
    CompleteState "complete-state";
    /// The refusal to read past a hole in the log.
    Contiguity "contiguity";
    /// The refusal of a log that goes on on another timeline, as after a restore.
    Timeline "timeline";
    /// The order of a page by position: without it, by time, which leaves events of one moment in any order.
    PositionOrder "position-order";
    /// The lease epoch in the projector's transaction.
    LeaseFence "lease-fence";
    /// That a checkpoint moves only from where its leader believes it to be.
    CheckpointStands "checkpoint-stands";
    /// The checkpoint in the transaction of the rows: without it, it is written after them.
    CheckpointWithRows "checkpoint-with-rows";
    /// The same: without it, the checkpoint is written before the rows.
    CheckpointNotFirst "checkpoint-not-first";
    /// The parking of a partition that met a poisoned event: without it the event is skipped.
    Parking "parking";
    /// The halt before an event of a newer build: without it the event is skipped.
    NewerHeld "newer-held";
    /// The comparison of a rebuilt model with the live one, before it takes its place.
    RebuildCompare "rebuild-compare";
    /// The lock on the tables of a read before its snapshot: without it a swap of a rebuilt model shows a gap.
    ReaderLock "reader-lock";
    /// The note of what was published only after NATS has acknowledged it.
    AckBeforeNote "ack-before-note";
    /// The check of what NATS still holds before the publisher goes on.
    Refill "refill";
    /// The refusal to publish from a log that was set back.
    LogSetBack "log-set-back";
    /// The rollback of whatever is open when a connection goes back to its pool.
    CleanRelease "clean-release";
    /// The permission that the routes of one operation ask for.
    Permission "permission";
    /// What a program with a key, or staff in somebody's place, may not do: what is for that person alone.
    InPerson "in-person";
    /// The judgement of who asks, together with the command and at the head.
    Gate "gate";
    /// That staff who act for somebody still may, at the commit of what they ask.
    StillStaff "still-staff";
    /// What a process does about streams of access that it sees moving.
    AccessTail "access-tail";
    /// The refusal to answer anybody while the log has not been looked at for too long.
    StandingAge "standing-age";
    /// The reservation of a guess before it is looked at: without it, every guess is.
    AttemptReservation "attempt-reservation";
    /// The counters of tries that all processes share: without them, nothing is ever used up.
    SharedLimit "shared-limit";
    /// The note of the newest step of which a code was taken: without it, a code is good as long as its time lasts.
    TotpStep "totp-step";
    /// The refusal to start on a database that has forgotten an erasure.
    ErasureCheck "erasure-check";
    /// That an executor drops the key of somebody whom another process has erased.
    ForgottenKey "forgotten-key";
    /// The refusal to send requests of ours into networks that are not public.
    OutgoingDeny "outgoing-deny";
    /// The audience of a token.
    Audience "audience";
    /// The kind in the hash of a secret.
    KindOfSecret "kind-of-secret";
    /// That what a service gets of a person is judged on what they allow at the commit.
    ConsentAtCommit "consent-at-commit";
    /// That whoever registered with an address and never showed that it is theirs makes room for whom the organisation means.
    MakingRoom "making-room";
    /// That a session which has shown less than its person has changes nothing of what they sign in with, at the commit.
    OwnFactor "own-factor";
    /// That whoever never showed that their address is theirs sets no other way in up beside their password.
    ProvenWaysIn "proven-ways-in";
    /// That a passkey which was added on the word of a provider shows no more than that.
    VouchedPasskey "vouched-passkey";
    /// That the policy still lets people sign in with a provider, at the commit of whatever rests on its word.
    ProviderOffered "provider-offered";
    /// That a seed of an authenticator is shown again in the session for which it was made.
    OfferedSeed "offered-seed";
    /// The second look at an invitation's link, before the password of whoever has the account is compared.
    AnsweredLink "answered-link";
    /// The limit of a body.
    BodyLimit "body-limit";
    /// The time that a head may take.
    HeaderTimeout "header-timeout";
    /// The record of a sensitive read before its answer.
    AuditBeforeAnswer "audit-before-answer";
    /// The refusal to answer with less than the position that the client names.
    ReadPosition "read-position";
    /// The limit on how long the reader of a live stream may take nothing.
    StreamStall "stream-stall";
    /// The end of a live stream with its token.
    StreamExpiry "stream-expiry";
    /// The end of what a live stream sends where the index ends, not where the log does.
    IndexBound "index-bound";
    /// In SQL: the lock on the head row before a batch.
    HeadLock "head-lock";
    /// In SQL: the same in `store.append_audit`.
    AuditHeadLock "audit-head-lock";
    /// In SQL: the trigger that keeps events as they are.
    AppendOnly "append-only";
    /// In SQL: the envelope in the hash of an event.
    LeafField "leaf-field";
    /// In SQL: the tenant in the key of remembered answers.
    KeyOfTenant "key-of-tenant";
    /// In SQL: the lock on a family while one of its refresh tokens is exchanged.
    RefreshLock "refresh-lock";
    /// In SQL: that a family is revoked when a used token comes back.
    RefreshReuseMark "refresh-reuse-mark";
    /// That a used token which comes back is told as such: without it, nobody ends its session.
    ReuseTold "reuse-told";
    /// In SQL: that of an address, a name, whatever is claimed, there is one holder.
    Claim "claim";
    /// In SQL: that a recovery code is gone when it is shown.
    RecoveryCode "recovery-code";
    /// In SQL: that what a passkey is to sign is gone when it is shown signed.
    ChallengeOnce "challenge-once";
    /// In SQL: that a passkey counts forwards.
    PasskeyCounter "passkey-counter";
    /// In SQL: the note that a device has had its tokens.
    DeviceOnce "device-once";
    /// In SQL: that tokens of a provider that somebody exchanges are due to nobody else meanwhile.
    ProviderTokenLease "provider-token-lease";
    /// In SQL: that a sign-in with a provider ends in the browser in which it began.
    StateOfBrowser "state-of-browser";
    /// In SQL: that a code is good for whoever knows what its challenge was made of.
    Pkce "pkce";
    /// In SQL: that a code is good with the address alone to which it went.
    RedirectExact "redirect-exact";
    /// In SQL: that a code that links two users is good for the one alone for whom it was asked.
    LinkCodeOf "link-code-of";
    /// In SQL: that a code that links two users is gone when it is shown.
    LinkCodeOnce "link-code-once";
    /// In SQL: that a code that was used ends what began with it.
    CodeReplay "code-replay";
    /// In SQL: that somebody who was erased gets no other key.
    ErasureTombstone "erasure-tombstone";
    /// In SQL: the row security of one table of the vault.
    VaultRowSecurity "vault-row-security";
    /// In SQL: the row security of one read table.
    RowSecurity "row-security";
}

/// Whether `guard` stands. Always, but in a build with the feature `enabled` in which `QUIPU_SABOTAGE` names it.
#[cfg(not(feature = "enabled"))]
#[must_use]
pub const fn stands(_guard: Guard) -> bool {
    true
}

/// Whether `guard` stands. Always, but in a build with the feature `enabled` in which `QUIPU_SABOTAGE` names it.
#[cfg(feature = "enabled")]
#[must_use]
pub fn stands(guard: Guard) -> bool {
    use std::sync::OnceLock;
    static REMOVED: OnceLock<Option<String>> = OnceLock::new();
    let removed = REMOVED.get_or_init(|| std::env::var("QUIPU_SABOTAGE").ok());
    removed.as_deref() != Some(guard.name())
}
