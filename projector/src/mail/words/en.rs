//! English.

use event_store::vault::{AddressStage, FactorChange, Mail, Purpose, Ruling};

use super::{Here, Words, moment_en as moment, said, verify_path};

const NOT_YOU: &str = "If you did not expect this letter, do nothing: without the link nothing happens.";
const ONE_USE: &str = "The link works once, and only for you: do not pass it on.";

pub(super) fn words(mail: &Mail, here: &Here<'_>) -> Words {
    match mail {
        Mail::VerifyAddress { purpose, token, until } => {
            let (subject, first, label) = match purpose {
                Purpose::Account => (
                    "Confirm your address",
                    format!("An account at {} was asked for with this address.", here.place()),
                    "Confirm the address",
                ),
                Purpose::Change => (
                    "Confirm your new address",
                    format!("An account at {} is to have this address from now on.", here.place()),
                    "Confirm the new address",
                ),
                Purpose::Organisation => (
                    "Confirm your new organisation",
                    format!("A new organisation at {} was asked for with this address.", here.place()),
                    "Confirm the organisation",
                ),
            };
            Words::new(subject, [first, format!("If it was you, confirm it until {}.", moment(*until))])
                .action(label, here.link(verify_path(*purpose), token))
                .afterwards([ONE_USE.to_owned(), NOT_YOU.to_owned()])
        }
        Mail::RegisteredAlready => Words::new(
            "You have an account already",
            [
                format!("Somebody, perhaps you, wanted to open an account at {} with this address.", here.place()),
                "It has one already, so nothing was changed. Sign in with your password, or choose a new one if you \
                 have forgotten it."
                    .to_owned(),
            ],
        )
        .action("Sign in", here.asking("/sign-in"))
        .afterwards(["If it was not you, there is nothing to do.".to_owned()]),
        Mail::Reset { token, until } => Words::new(
            "Choose a new password",
            [
                format!("A new password was asked for, for your account at {}.", here.place()),
                format!("Choose it until {}. You will be signed out everywhere.", moment(*until)),
            ],
        )
        .action("Choose a new password", here.link("/reset", token))
        .afterwards([ONE_USE.to_owned(), NOT_YOU.to_owned()]),
        Mail::AccountMade { organisation, token, until } => Words::new(
            "Your new account",
            [
                format!("An account in {} at {} was made for you.", said(organisation), here.host()),
                format!("Choose a password for it until {}.", moment(*until)),
            ],
        )
        .action("Choose a password", here.link("/reset", token))
        .afterwards([
            ONE_USE.to_owned(),
            "If it is too late, ask for another link as somebody does who has forgotten a password.".to_owned(),
            NOT_YOU.to_owned(),
        ]),
        Mail::PasswordChanged { at } => Words::new(
            "Your password was changed",
            [format!("The password of your account at {} was changed on {}.", here.place(), moment(*at))],
        )
        .action("It was not me: choose a new password", here.asking("/forgot"))
        .afterwards(["If it was you, there is nothing to do.".to_owned()]),
        Mail::AddressChanged { stage, at } => {
            let (subject, what) = match stage {
                AddressStage::Asked => (
                    "Another address was asked for",
                    format!(
                        "On {} another address was asked for, for your account at {}. This one holds until the other \
                         is confirmed.",
                        moment(*at),
                        here.place()
                    ),
                ),
                AddressStage::Done => (
                    "The address of your account was changed",
                    format!("The address of your account at {} was changed on {}.", here.place(), moment(*at)),
                ),
            };
            Words::new(subject, [what, "If it was you, there is nothing to do.".to_owned()])
                .action("It was not me: choose a new password", here.asking("/forgot"))
                .afterwards([
                    "If the address was changed already and it was not you, write to your organisation at once."
                        .to_owned(),
                ])
        }
        Mail::Invitation { organisation, inviter, token, until } => {
            let organisation = said(organisation);
            let first = match inviter {
                Some(inviter) => {
                    format!("{} invites you to join {organisation} at {}.", said(inviter), here.host())
                }
                None => format!("You are invited to join {organisation} at {}.", here.host()),
            };
            Words::new(
                format!("Invitation to {organisation}"),
                [first, format!("Accept or decline it until {}.", moment(*until))],
            )
            .action("Look at the invitation", here.link("/invitation", token))
            .afterwards([ONE_USE.to_owned(), "If you do not know the sender, do nothing.".to_owned()])
        }
        Mail::NewSignIn { at, device, address } => {
            let mut paragraphs = vec![format!(
                "On {} somebody signed in to your account at {} from a device that was not seen before.",
                moment(*at),
                here.place()
            )];
            paragraphs.extend(device.as_ref().map(|it| format!("Device: {}", said(it))));
            paragraphs.extend(address.as_ref().map(|it| format!("Network address: {it}")));
            Words { paragraphs, ..Words::new("Sign-in from a new device", []) }
                .action("It was not me: choose a new password", here.asking("/forgot"))
                .afterwards(["If it was you, there is nothing to do.".to_owned()])
        }
        Mail::Locked { at, until } => Words::new(
            "Sign-in is locked for a while",
            [
                format!(
                    "On {} there were too many wrong guesses for your account at {}.",
                    moment(*at),
                    here.place()
                ),
                format!("Nobody can sign in with a password until {}. The lock then ends by itself.", moment(*until)),
            ],
        )
        .action("Choose a new password", here.asking("/forgot"))
        .afterwards([
            "If it was not you, your password has held. A longer one and a second factor make it stronger.".to_owned()
        ]),
        Mail::FactorsChanged { change, at } => {
            let (subject, what) = match change {
                FactorChange::Added => ("You have a second factor", "an authenticator was added"),
                FactorChange::Removed => ("Your second factor was removed", "the authenticator was removed"),
                FactorChange::PasskeyAdded => ("You have a new passkey", "a passkey was added"),
                FactorChange::PasskeyRemoved => ("A passkey was removed", "a passkey was removed"),
                FactorChange::RemovedByAdministrator => (
                    "Your second factors were removed",
                    "an administrator removed all second factors and ended all sessions",
                ),
                FactorChange::CodesRenewed => ("You have new recovery codes", "new recovery codes took the place of the old ones"),
                FactorChange::CodeUsed => ("A recovery code was used", "somebody signed in with a recovery code, which is used up now"),
                FactorChange::Linked => (
                    "Your account was linked",
                    "it was linked to an account in another organisation, from which one can come here without a password \
                     until the link is taken away in the list of your organisations",
                ),
                FactorChange::Unlinked => (
                    "A link of your account was taken away",
                    "the link to an account in another organisation was taken away, so that nobody comes here from there any more",
                ),
                FactorChange::ProviderLinked => (
                    "You can sign in with a provider",
                    "an account with a provider was linked, with which one can sign in here without a password \
                     until the link is given up in the list of your links",
                ),
                FactorChange::ProviderUnlinked => (
                    "You cannot sign in with a provider any more",
                    "the link to an account with a provider was given up, with which one could sign in here",
                ),
                FactorChange::KeyIssued => (
                    "A new API key acts for you",
                    "an API key was made with which a program can act for you until the key is revoked in the list of keys; \
                     a new password does not end it",
                ),
            };
            Words::new(subject, [format!("On {}, for your account at {}, {what}.", moment(*at), here.place())])
                .action("It was not me: choose a new password", here.asking("/forgot"))
                .afterwards(["If it was you, there is nothing to do.".to_owned()])
        }
        Mail::Impersonated { at, until, reason, ticket } => Words::new(
            "Our staff act in your account",
            [
                format!(
                    "Since {} somebody of our staff can act in your account at {}, until {} at the latest.",
                    moment(*at),
                    here.place(),
                    moment(*until)
                ),
                format!("Why: {} ({})", said(reason), said(ticket)),
                "They see and do what you can. They cannot change how you sign in, and what they do is recorded as done by them."
                    .to_owned(),
            ],
        )
        .afterwards(["To stop it at once, end all your sessions. If you know of nothing, write to us.".to_owned()]),
        Mail::RefreshReused { at } => Words::new(
            "A session of yours was ended",
            [
                format!(
                    "On {} a sign-in of your account at {} was used twice, so that one of the two was not yours.",
                    moment(*at),
                    here.place()
                ),
                "We have ended that session. Sign in again, and choose a new password if you cannot explain it."
                    .to_owned(),
            ],
        )
        .action("Choose a new password", here.asking("/forgot")),
        Mail::OrganisationDecided { organisation, decision, reason } => {
            let organisation = said(organisation);
            let (subject, what) = match decision {
                Ruling::Approved => ("was approved", "was approved. Its members can work from now on."),
                Ruling::Rejected => ("was not approved", "was not approved."),
                Ruling::Suspended => ("is suspended", "is suspended. Nobody can work in it for now."),
                Ruling::Reactivated => ("is active again", "is active again. Sign in once more."),
                Ruling::Closed => ("was closed", "was closed. Nobody can work in it any more."),
            };
            let mut paragraphs = vec![format!("Your organisation {organisation} at {} {what}", here.host())];
            paragraphs.extend(reason.as_ref().map(|it| format!("The reason given: {}", said(it))));
            Words { paragraphs, ..Words::new(format!("{organisation} {subject}"), []) }
        }
        Mail::Erased { at, receipt } => Words::new(
            "You were erased",
            [
                format!(
                    "On {} everything that {} knew about you was made unreadable for ever.",
                    moment(*at),
                    here.place()
                ),
                format!("The receipt of it is {receipt}. Keep it: we know nothing any more by which to find you."),
                "This is the last letter that you get from us.".to_owned(),
            ],
        ),
    }
}

pub(super) fn about(organisation: &str, slug: &str) -> String {
    format!("It is about {organisation}, whose short name for signing in is {slug}.")
}

pub(super) fn written_by(host: &str) -> String {
    format!("This letter was written by {host} itself. Nobody reads an answer to it.")
}
