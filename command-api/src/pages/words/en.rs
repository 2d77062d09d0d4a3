//! English.

use service_kit::permissions;

use super::Words;

pub(super) static WORDS: Words = Words {
    error: "Error:",
    go_on: "Continue",
    to_sign_in: "Sign in",
    email: "Email address",
    password: "Password",
    organisation: "Organisation",
    organisation_hint: "Its short name, such as acme-books",
    reference: "Reference for support:",
    for_makers: "For whoever makes the application:",

    sign_in_title: "Sign in",
    sign_in: "Sign in",
    sign_in_with: "Sign in with",
    or: "or",
    to_reach: "to go on to",
    at: "at",
    another_organisation: "Another organisation",
    forgotten: "Password forgotten?",

    second_title: "One more step",
    second_text: "Your password was right. Now show that it is you.",
    second_code: "Code",
    second_hint: "Six digits from your app, or one of your recovery codes",

    sign_in_with_passkey: "Sign in with a passkey",
    passkey_title: "Use your passkey",
    passkey_text: "Your browser asks for it now. Follow what it says.",
    passkey_failed: "That did not work, or was stopped. Press the button to try it again.",
    passkey_otherwise: "Sign in in another way",
    set_up_passkey: "Set up a passkey",
    passkey_new_title: "Set up a passkey",
    passkey_not_now: "Not now",
    passkey_done_title: "Your passkey is set up",
    passkey_done: "From now on you can sign in with it, without a password.",
    passkey_use_once: "Use it once now, so that it is known to work: your browser asks for it.",

    set_up_title: "Set up a second factor",
    set_up_required: "asks everybody for a second factor, and you have none yet.",
    set_up_text: "From then on nobody signs in as you who only knows your password.",
    set_up_app: "Use an authenticator app",
    set_up_not_now: "Not now",
    set_up_app_title: "Add your account to the app",
    set_up_scan: "Open the authenticator app on your phone, have it add an account, and scan this picture.",
    set_up_picture: "The picture for your app. What it holds stands below in letters.",
    set_up_type: "If you cannot scan it, type this key into the app:",
    set_up_here: "The app is on this device: open it",
    set_up_code: "Code",
    set_up_code_hint: "Six digits that the app shows for this account now",
    set_up_save: "Set up",
    set_up_back: "Begin again",
    set_up_done_title: "Your second factor is set up",
    set_up_done: "You are asked for it when you sign in.",
    codes_title: "Keep your recovery codes",
    codes_text: "Your second factor is set up. If you lose it, each of these codes stands for it once.",
    codes_once: "They are shown this once. Write them down or print them, and keep them where nobody else finds them.",
    codes_kept: "I have kept them: continue",
    codes_lost: "You have not kept your recovery codes? Get new ones: those before are good no more.",
    codes_renew: "Get new recovery codes",

    here_title: "You are signed in",
    signed_in_as: "You are signed in as",
    connect_device: "Connect a device",
    sign_out: "Sign out",
    another_account: "Use another account",
    sign_out_title: "Sign out?",
    sign_out_asked: "You are asked to sign out by",
    signed_out_title: "You are signed out",
    signed_out: "Nobody is signed in in this browser now. You can close this page.",

    consent_title: "Allow access?",
    consent_asks: "asks for access to your account",
    consent_would: "It could:",
    allow: "Allow",
    deny: "Do not allow",

    consents_title: "Applications that you let in",
    consents_text: "If you take it back, the application is signed out at once, and asks before it comes in again.",
    consents_none: "You let no application in.",
    consents_questioned: "You are asked before it comes in again.",
    consents_take_back: "Take back access",
    back: "Back",

    device_title: "Connect a device",
    device_text: "Type the code that your device shows.",
    device_code: "Code",
    device_hint: "Eight letters, such as BCDF-GHJK",
    device_ask_title: "Is this your device?",
    device_asks: "asks to be connected to your account",
    device_shown: "Code",
    device_from: "Asked from",
    device_when: "Asked at",
    device_warning: "Connect it only if you have the device before you and it shows this very code. If somebody sent \
                     you the code, do not connect it.",
    device_allow: "Connect",
    device_deny: "Do not connect",
    device_allowed_title: "The device is connected",
    device_allowed: "It goes on by itself in a few seconds. You can close this page.",
    device_denied_title: "The device is not connected",
    device_denied: "Nothing was allowed. You can close this page.",

    forgot_title: "Choose a new password",
    forgot_text: "We send you a link with which you choose a new password.",
    forgot_send: "Send the link",
    sent_title: "Look into your mailbox",
    sent: "If there is such an account, a letter with a link is on its way to it. It can take some minutes.",

    link_code: "Code of the link",
    link_hint: "Everything that stands behind the # in the link of the letter",
    reset_title: "Choose a new password",
    reset_text: "You will be signed out everywhere.",
    new_password: "New password",
    new_password_hint: ["At least ", " characters; several unrelated words make a good one"],
    reset_save: "Save the password",
    reset_done_title: "Your password was changed",
    reset_done: "You were signed out everywhere. Sign in with the new password.",
    verify_title: "Confirm your address",
    verify_text: "Type the password that you chose when you registered. If you did not register, leave this page: somebody else used \
                  your address, and gets nowhere without you.",
    verify_done_title: "Your address is confirmed",
    verify_done: "You can sign in now.",
    address_title: "Confirm your new address",
    address_text: "Press the button to have this address from now on.",
    address_done: "From now on you sign in with it.",
    founding_title: "Confirm your new organisation",
    founding_text: "Type the password that you chose when you asked for the organisation. If you did not ask for one, leave this \
                    page: somebody else used your address, and gets nowhere without you.",
    founding_slug: "Another short name",
    founding_done_title: "Your organisation waits for approval",
    founding_done: "You can sign in already. We write to you when it is decided.",
    confirm: "Confirm",

    invitation_title: "You are invited",
    invitation_by: "invites you to join",
    invitation_to: "You are invited to join",
    invitation_as: "You accept as",
    invitation_new: "Choose a password for your new account, or type the one that you have here already.",
    invitation_known: "You have an account here already? Sign in first, then open the link once more.",
    given_name: "Given name",
    family_name: "Family name",
    optional: "(if you like)",
    accept: "Accept",
    decline: "Decline",
    accepted_title: "Welcome",
    accepted: "You belong to the organisation now.",
    declined_title: "The invitation is declined",
    declined: "Nothing else happens. You can close this page.",

    leaving_title: "One moment",
    leaving_text: "You are taken back to the application.",
    leaving_where: "This link leads to another site:",
    asks_wrongly: "sent you here and asks in a way that cannot be answered.",
    refused_title: "That did not work",

    scopes,
    permissions: |name| permissions::find(name).map(|it| it.text),
    of_others: ["use the permission “", "” of another program"],
    refusals,
    weaknesses: |_| None,
    not_possible: "What was asked for is not possible. Go back and begin again.",
    not_now: "This does not work at the moment. Try it again a little later.",
    too_often: "That was tried too often. Wait a little, then try it again.",
    our_fault: "Something went wrong on our side. Try it again; if it stays, write to us.",
};

fn scopes(name: &str) -> Option<&'static str> {
    Some(match name {
        "openid" => "know who you are",
        "profile" => "see your name and your language",
        "email" => "see your email address",
        "phone" => "see your phone number",
        "address" => "see your postal address",
        "organization" => "see your organisation and the roles that you have in it",
        "offline_access" => "act for you while you are away, until you end it",
        _ => return None,
    })
}

fn refusals(code: &str) -> Option<&'static str> {
    Some(match code {
        "identity.invalid-credentials" => "Organisation, address and password do not belong together.",
        "identity.locked" => "That was wrong too often. For a while nothing more is looked at; try it later.",
        "identity.email-unverified" => "Confirm your address first: we sent you a link.",
        "identity.email-malformed" => "This is not an email address. Write it as name@example.com.",
        "identity.link-invalid" => "The link is not good, or not any more. Ask for a new one.",
        "identity.password-weak" => "This password is too weak.",
        "auth.second-factor-missing" => {
            "A second factor is asked for here, and this sign-in has shown none. Sign in once more, with it."
        }
        "identity.factor-not-found" => {
            "This took too long, or you began anew in another window. What you added to your app is of no use: remove it there, \
             and begin again here."
        }
        "identity.factors-off" => "Your organisation lets nobody set up a second factor.",
        "identity.factor-exists" => "You have set this up already.",
        "identity.too-many-factors" => "You have as many passkeys as you may. Remove one first.",
        "auth.step-up-required" => "For this, show once more who you are: sign in, then begin again.",
        "identity.passkey-invalid" => {
            "This passkey is not known here, or what it showed is not good. Try it again, or sign in in another way."
        }
        "identity.code-invalid" => "The code is not right, or not any more.",
        "organisation.not-active" => "The organisation cannot be used at the moment.",
        "organisation.slug-taken" => "The short name was taken meanwhile. Choose another one.",
        "organisation.slug-malformed" | "organisation.slug-reserved" => {
            "This cannot be a short name. Take small letters, digits and dashes, 3 to 40 of them."
        }
        "organisation.invitation-invalid" | "organisation.invitation-over" => {
            "The invitation is not good, or not any more. Ask for a new one."
        }
        "organisation.invitation-for-another" => "This invitation is for another address than yours.",
        "organisation.already-member" => "You belong to the organisation already.",
        "organisation.seats-used-up" => "The organisation has no free seat. Tell whoever invited you.",
        "federation.denied" => "The sign-in was not allowed at the provider.",
        "federation.not-fresh" => {
            "The provider does not say that you have just signed in there. Do so anew, or sign in here in another way."
        }
        "federation.address-not-vouched" => {
            "The provider does not confirm an email address of yours that the organisation takes its word for. If you have an \
             account here, sign in in another way. If you have none, ask whoever runs the organisation."
        }
        "federation.link-needs-sign-in" => {
            "There is an account with your address already. Sign in with it, then link the provider to it."
        }
        "federation.provider-unavailable"
        | "federation.answer-invalid"
        | "federation.state-invalid"
        | "federation.handover-invalid" => "The sign-in with the provider did not work. Begin it again.",
        "oauth.request-invalid" => {
            "The application that sent you here asks in a way that cannot be answered. Go back to it, and show whoever runs it \
             what is said below."
        }
        "oauth.request-unknown" => "This took too long, or was used already. Begin again at the application.",
        "oauth.user-code-unknown" => {
            "No device waits with this code. Look at it again, or have the device show a new one."
        }
        "application.grant-decided" => "That was decided already.",
        "page.form-invalid" => {
            "This form is too old, or was opened in another way than it should be. Open the page again. Your browser must \
             take cookies."
        }
        "request.not-found" => "There is nothing here.",
        "request.method-not-allowed" => {
            "There is nothing to look at here: this address takes what a form sends. Begin again."
        }
        _ => return None,
    })
}
