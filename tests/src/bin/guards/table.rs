//! The one list: which guard carries which promise, and which tests must notice when it is gone.

use std::fmt;

use sabotage::Guard;

/// A test program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    /// Tests of the whole system.
    Whole,
    /// Tests inside of service-kit.
    Kit,
    /// Tests of service-kit over sockets.
    Edges,
}

/// A test, by its program and its full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case(pub(crate) Program, pub(crate) &'static str);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

/// A guard that is taken away.
pub(crate) struct Sabotage {
    pub(crate) guard: Guard,
    /// What does not hold without it.
    pub(crate) promise: &'static str,
    /// Each of them must fail.
    pub(crate) cases: &'static [Case],
}

const fn of(guard: Guard, promise: &'static str, cases: &'static [Case]) -> Sabotage {
    Sabotage { guard, promise, cases }
}

const fn whole(name: &'static str) -> Case {
    Case(Program::Whole, name)
}

const fn kit(name: &'static str) -> Case {
    Case(Program::Kit, name)
}

const fn edges(name: &'static str) -> Case {
    Case(Program::Edges, name)
}

/// Every guard, in the order of a request's way.
pub(crate) const SABOTAGES: &[Sabotage] = &[
    of(
        Guard::VersionCheck,
        "what another process has changed is seen before an outcome is given",
        &[whole("executor::a_refusal_of_one_process_rests_on_what_the_other_committed")],
    ),
    of(
        Guard::RefusalCheck,
        "a refusal rests on what is true when it is given",
        &[whole("executor::a_refusal_of_one_process_rests_on_what_the_other_committed")],
    ),
    of(
        Guard::HeadLock,
        "one batch is appended at a time",
        &[whole("executor::a_reader_misses_nothing_beside_six_writers_rollbacks_and_a_stalled_transaction")],
    ),
    of(
        Guard::JudgedAnew,
        "an outcome rests on batches that landed, and on no other",
        &[whole("executor::ahead::what_was_judged_on_top_of_a_batch_that_failed_is_judged_anew")],
    ),
    of(
        Guard::IdempotencyRecord,
        "a repeated request has one effect and one answer",
        &[whole("executor::keys_hold_after_a_restart")],
    ),
    of(
        Guard::KeyOfActor,
        "nobody gets the answer of another actor's key",
        &[whole("guards::the_same_key_of_two_actors_is_two_keys")],
    ),
    of(
        Guard::KeyOfTenant,
        "the keys of one tenant are nothing to another",
        &[whole("executor::sixty_four_copies_of_one_request_have_one_effect_and_one_answer")],
    ),
    of(
        Guard::CommitBeforeAnswer,
        "what is answered is committed",
        &[whole("executor::a_killed_connection_loses_and_doubles_nothing")],
    ),
    of(
        Guard::SynchronousCommit,
        "what is answered is on disk",
        &[whole("guards::what_is_answered_is_on_disk")],
    ),
    of(
        Guard::HoldExpiry,
        "a hold past its end binds no money",
        &[whole("executor::a_command_that_meets_a_due_hold_records_its_expiry_first")],
    ),
    of(
        Guard::CompleteState,
        "a state restored from its newest event is whole",
        &[whole("guards::a_process_that_never_saw_a_hold_knows_when_it_ends")],
    ),
    of(Guard::AppendOnly, "no event is ever changed", &[whole("log::no_role_can_change_or_remove_an_event")]),
    of(
        Guard::LeafField,
        "the hash of an event covers every field of it",
        &[whole("log::leaves_are_what_the_standard_says_over_the_stored_text")],
    ),
    of(
        Guard::Contiguity,
        "a hole in the log is an alarm",
        &[whole("log::a_hole_is_an_alarm_and_not_waited_for")],
    ),
    of(
        Guard::Timeline,
        "after a restore nobody goes on until an operator has said what it means",
        &[whole("log::another_timeline_is_refused_until_an_operator_says_what_it_means")],
    ),
    of(
        Guard::PositionOrder,
        "followers take events in the order of the log",
        &[whole("projections::read_models_follow_the_log_while_it_grows")],
    ),
    of(
        Guard::LeaseFence,
        "a deposed leader writes nothing",
        &[whole("projections::three_projectors_share_the_work_and_a_frozen_one_writes_nothing")],
    ),
    of(
        Guard::CheckpointStands,
        "what a crash of the database took back is read again",
        &[whole("guards::a_leader_that_lives_through_a_crash_reads_again_what_it_took_back")],
    ),
    of(
        Guard::CheckpointWithRows,
        "rows and checkpoint change in one transaction",
        &[whole("guards::neither_rows_nor_checkpoint_are_seen_before_the_other")],
    ),
    of(
        Guard::CheckpointNotFirst,
        "a checkpoint never runs ahead of its rows",
        &[whole("guards::neither_rows_nor_checkpoint_are_seen_before_the_other")],
    ),
    of(
        Guard::Parking,
        "an event that cannot be taken parks its partition until it can",
        &[whole("projections::a_poisoned_event_parks_its_partition_and_nothing_else")],
    ),
    of(
        Guard::NewerHeld,
        "an event of a newer build is waited for",
        &[whole("projections::an_event_of_a_newer_build_is_held_and_not_skipped")],
    ),
    of(
        Guard::RebuildCompare,
        "a rebuilt model that differs does not go live by itself",
        &[whole(
            "rebuild::outcomes::what_differs_goes_live_only_when_somebody_says_so_and_comes_back_when_told",
        )],
    ),
    of(
        Guard::ReaderLock,
        "a reader never sees a model without its rows while it is swapped",
        &[whole("rebuild::swaps::a_snapshot_from_before_a_swap_never_reads_what_came_with_it")],
    ),
    of(
        Guard::AckBeforeNote,
        "published is what NATS has acknowledged",
        &[whole("guards::what_nats_has_not_acknowledged_is_not_noted_as_published")],
    ),
    of(Guard::Refill, "what NATS lost is sent again", &[whole("fan_out::a_wiped_nats_is_filled_again")]),
    of(
        Guard::LogSetBack,
        "no position is published twice after the log was set back",
        &[whole(
            "fan_out::a_log_that_was_set_back_is_found_and_nothing_is_published_until_the_epoch_is_another",
        )],
    ),
    of(
        Guard::AnsweredLink,
        "whoever comes second with an invitation locks nobody out",
        &[whole("identity::invitations::races::whoever_comes_second_with_a_link_has_no_password_compared")],
    ),
    of(
        Guard::CleanRelease,
        "nobody works inside a transaction that somebody else left",
        &[whole("guards::a_begin_that_was_given_up_leaves_nothing_to_the_next_borrower")],
    ),
    of(
        Guard::RowSecurity,
        "a tenant sees its own rows",
        &[
            whole("log::every_table_with_a_tenant_is_walled_for_every_role"),
            whole("walls::below_http_the_role_of_the_query_api_sees_one_tenant_and_changes_nothing"),
        ],
    ),
    of(
        Guard::Permission,
        "every operation asks for its permission",
        &[whole("matrix::every_operation_is_only_for_those_who_may")],
    ),
    of(
        Guard::Gate,
        "no command of somebody whose session has ended is carried out",
        &[
            whole("identity::access::race::a_command_of_an_ended_session_never_commits"),
            whole("identity::access::race::a_command_of_a_revoked_token_never_commits"),
        ],
    ),
    of(
        Guard::StillStaff,
        "no command of staff who act for somebody and were dismissed is carried out",
        &[whole("identity::access::race::a_command_of_staff_who_were_dismissed_never_commits")],
    ),
    of(
        Guard::AccessTail,
        "whoever may not act any more is refused by every process within a second",
        &[whole("identity::access::an_ended_session_is_refused_by_every_process_within_a_second")],
    ),
    of(
        Guard::StandingAge,
        "a process that does not know who may act answers nobody",
        &[whole("identity::access::tail::an_old_tail_answers_503")],
    ),
    of(
        Guard::AttemptReservation,
        "of any number of guesses at once, five are looked at",
        &[
            whole("identity::vault::of_a_hundred_guesses_at_once_five_are_allowed"),
            whole(
                "identity::sign_in::guessing::cve_2023_47111_of_a_hundred_parallel_guesses_five_are_looked_at",
            ),
        ],
    ),
    of(
        Guard::TotpStep,
        "a code of an authenticator is good once, in all processes together",
        &[
            whole("identity::factors::a_code_works_once_even_in_two_processes"),
            whole("identity::factors::a_password_alone_takes_no_factor_away"),
        ],
    ),
    of(
        Guard::SharedLimit,
        "how often may be tried holds for all processes together",
        &[
            whole("identity::limits::two_processes_share_the_limit_of_guesses"),
            whole("identity::limits::an_own_account_does_not_clear_the_limit_of_an_address"),
        ],
    ),
    of(
        Guard::OutgoingDeny,
        "no request of ours goes into a network that is not public, whatever a tenant's settings name",
        &[kit("outgoing::tests::cve_2026_5469_we_fetch_nothing_from_networks_that_are_not_public")],
    ),
    of(
        Guard::ErasureCheck,
        "nobody is served from a database that has forgotten an erasure",
        &[
            whole("identity::erasure::nobody_starts_without_the_journal_that_the_database_knows"),
            whole("identity::erasure::restore::a_restore_of_an_older_backup_stays_erased"),
        ],
    ),
    of(
        Guard::ForgottenKey,
        "no process keeps the key of somebody who was erased",
        &[whole("identity::erasure::a_key_in_memory_is_dropped_within_a_second")],
    ),
    of(
        Guard::ErasureTombstone,
        "somebody who was erased gets no other key",
        &[whole("log::no_event_of_an_erased_actor_makes_a_new_key")],
    ),
    of(
        Guard::Pkce,
        "whoever has a code without what belongs to it has nothing",
        &[whole("identity::oauth::codes::pkce_plain_is_refused")],
    ),
    of(
        Guard::RedirectExact,
        "a code is good with the address alone to which it went",
        &[whole("identity::oauth::codes::redirect_uris_match_to_the_letter")],
    ),
    of(
        Guard::CodeReplay,
        "a code that two show is nobody's, however close they come",
        &[whole("identity::oauth::codes::of_many_who_show_one_code_at_once_nobody_keeps_tokens")],
    ),
    of(
        Guard::LinkCodeOf,
        "a code that links two users is nothing to somebody else who gets hold of it",
        &[whole("identity::persons::a_stolen_code_links_nobody_else")],
    ),
    of(
        Guard::LinkCodeOnce,
        "a code that links two users is used up when it is shown",
        &[whole("identity::persons::a_stolen_code_links_nobody_else")],
    ),
    of(
        Guard::ConsentAtCommit,
        "a service gets nothing on the strength of what was taken back while it asked",
        &[whole(
            "identity::oauth::consents::nothing_outlives_what_is_taken_back_while_codes_and_tokens_are_exchanged",
        )],
    ),
    of(
        Guard::OwnFactor,
        "whoever knows a password alone sets nothing up beside what its owner sets up",
        &[whole(
            "identity::factors::passkeys::of_those_who_add_the_first_factor_by_a_password_at_once_one_does",
        )],
    ),
    of(
        Guard::VouchedPasskey,
        "the word of one organisation's provider opens no other organisation",
        &[whole(
            "identity::persons::a_provider_s_word_with_a_factor_enrolled_on_it_opens_no_other_organisation",
        )],
    ),
    of(
        Guard::ProviderOffered,
        "nobody comes in by a provider once the policy names it no more, however far they have come",
        &[whole("identity::federation::bounds::whoever_is_on_the_way_when_the_policy_changes_is_not_let_in")],
    ),
    of(
        Guard::OfferedSeed,
        "whoever knows a password does not look on while its owner sets a second factor up",
        &[whole(
            "identity::pages::set_up::the_newest_of_two_windows_counts_and_another_session_is_shown_nothing",
        )],
    ),
    of(
        Guard::ProvenWaysIn,
        "whoever registered with an address before its owner has no way in once the owner has come",
        &[whole("identity::hijacking::prehijacking_a_reset_leaves_nothing_of_who_registered_before")],
    ),
    of(
        Guard::MakingRoom,
        "an address is its owner's, whoever registered with it first",
        &[
            whole(
                "identity::hijacking::prehijacking_an_invitation_displaces_who_registered_with_the_address",
            ),
            whole(
                "identity::hijacking::prehijacking_an_account_that_is_made_displaces_who_registered_with_the_address",
            ),
        ],
    ),
    of(
        Guard::KindOfSecret,
        "a secret of one kind opens nothing of another",
        &[kit("bearer::tests::cve_2026_4282_a_secret_of_one_kind_has_another_hash_in_every_other")],
    ),
    of(
        Guard::StateOfBrowser,
        "a sign-in with a provider ends in the browser in which it began",
        &[whole(
            "identity::federation::binding::a_callback_without_state_or_from_another_browser_is_refused",
        )],
    ),
    of(
        Guard::RefreshLock,
        "a refresh token is exchanged once, however many show it at once",
        &[whole("identity::vault::cve_2026_1035_of_a_hundred_presenters_of_one_token_one_gets_a_successor")],
    ),
    of(
        Guard::RefreshReuseMark,
        "no token of a session is good once a used one has come back",
        &[whole("identity::vault::a_reuse_within_the_same_second_ends_the_family")],
    ),
    of(
        Guard::ReuseTold,
        "whoever holds a session of which a token came back is out",
        &[whole("identity::sign_in::sessions::a_reuse_within_the_same_second_ends_the_session")],
    ),
    of(
        Guard::Claim,
        "an address, the name of an organisation and an open invitation are one person's, however many ask at once",
        &[
            whole("identity::sign_in::cve_2021_3754_of_twenty_who_register_one_address_one_gets_it"),
            whole("identity::persons::of_many_who_show_codes_at_once_one_links"),
            whole(
                "identity::organizations::nothing_is_taken_before_the_link_is_used_and_a_slug_is_given_once",
            ),
            whole("identity::invitations::races::one_invitation_of_an_address_is_open_however_many_are_sent"),
        ],
    ),
    of(
        Guard::RecoveryCode,
        "a recovery code is good once, in all processes together",
        &[whole("identity::factors::a_recovery_code_works_once_even_in_two_processes")],
    ),
    of(
        Guard::ChallengeOnce,
        "what a passkey signed is good once, in all processes together",
        &[whole("identity::factors::passkeys::what_was_signed_is_good_once_even_in_two_processes")],
    ),
    of(
        Guard::PasskeyCounter,
        "a copy of a passkey lets nobody in",
        &[whole("identity::factors::passkeys::a_passkey_that_counts_backwards_lets_nobody_in_and_is_told")],
    ),
    of(
        Guard::DeviceOnce,
        "a device is let in once by its code, and a copy of it ends what came of it",
        &[whole("identity::device::a_device_code_works_once_and_its_replay_ends_the_tokens")],
    ),
    of(
        Guard::VaultRowSecurity,
        "secrets of one tenant are out of reach for every other",
        &[whole("identity::vault::the_vault_is_walled_between_tenants")],
    ),
    of(Guard::Audience, "a token for others is none for us", &[kit("token::tests::no_forgery_is_accepted")]),
    of(Guard::BodyLimit, "a body has a limit", &[edges("bodies_have_a_limit_and_a_time")]),
    of(
        Guard::HeaderTimeout,
        "a head has a time",
        &[edges("a_client_that_says_nothing_is_closed"), edges("a_head_that_drips_is_closed")],
    ),
    of(
        Guard::AuditBeforeAnswer,
        "a sensitive read is recorded before it is answered",
        &[
            whole("audit::a_sensitive_read_is_recorded_before_its_answer_whatever_that_is"),
            whole("audit::what_cannot_be_recorded_is_not_read"),
        ],
    ),
    of(
        Guard::AuditHeadLock,
        "entries of the trail are appended one at a time too",
        &[whole("audit::refusals::processes_append_to_one_day_at_once_without_gaps")],
    ),
    of(
        Guard::ReadPosition,
        "a read is never older than the position that it names",
        &[whole(
            "queries::positions::positions_that_cannot_be_served_are_refused_and_nothing_older_is_answered",
        )],
    ),
    of(
        Guard::InPerson,
        "whoever acts for somebody does not reach what is for that one alone",
        &[
            kit("access::tests::who_must_step_up_has_done_so_lately"),
            whole("identity::api_keys::a_key_makes_no_key_and_touches_no_credentials"),
            whole("identity::impersonation::an_impersonator_cannot_touch_credentials_or_platform_owners"),
        ],
    ),
    of(
        Guard::ProviderTokenLease,
        "tokens of a provider are exchanged by one process at a time",
        &[whole("identity::provider_tokens::of_many_who_would_take_due_tokens_one_has_them")],
    ),
    of(
        Guard::StreamStall,
        "a live stream whose reader takes nothing ends",
        &[whole("queries::live::a_reader_that_takes_nothing_is_dropped_and_told_where_to_go_on")],
    ),
    of(
        Guard::StreamExpiry,
        "a live stream ends with its token",
        &[whole("queries::live::a_stream_ends_with_the_token")],
    ),
    of(
        Guard::IndexBound,
        "a live stream passes nothing over",
        &[whole(
            "queries::live::nothing_is_lost_or_repeated_over_a_thousand_reconnects_while_two_tenants_write",
        )],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_one_line_and_a_test() {
        for guard in Guard::ALL {
            let lines: Vec<_> = SABOTAGES.iter().filter(|it| it.guard == *guard).collect();
            assert!(matches!(lines.as_slice(), [one] if !one.cases.is_empty()), "{}", guard.name());
        }
        let names: std::collections::BTreeSet<_> = Guard::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Guard::ALL.len());
    }

    #[test]
    fn every_test_is_where_its_name_says() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for Case(program, name) in SABOTAGES.iter().flat_map(|it| it.cases).copied() {
            let (module, test) = name.rsplit_once("::").unwrap_or(("", name));
            let files = match program {
                Program::Whole => vec![root.join("it").join(module.replace("::", "/")).with_extension("rs")],
                Program::Edges => vec![root.join("../service-kit/tests/edges.rs")],
                // A module of tests is a file of its own, or the end of what it tests.
                Program::Kit => ["", "/tests"]
                    .map(|of| format!("{}{of}.rs", module.trim_end_matches("::tests").replace("::", "/")))
                    .map(|it| root.join("../service-kit/src").join(it))
                    .into(),
            };
            let is_there = files
                .iter()
                .any(|it| std::fs::read_to_string(it).is_ok_and(|it| it.contains(&format!("fn {test}("))));
            assert!(is_there, "{name} is not in {files:?}");
        }
    }
}
