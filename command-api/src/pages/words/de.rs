//! German.

use super::Words;

pub(super) static WORDS: Words = Words {
    error: "Fehler:",
    go_on: "Weiter",
    to_sign_in: "Anmelden",
    email: "E-Mail-Adresse",
    password: "Passwort",
    organisation: "Organisation",
    organisation_hint: "Ihr Kurzname, zum Beispiel acme-buch",
    reference: "Kennung für den Support:",
    for_makers: "Für die Hersteller der Anwendung:",

    sign_in_title: "Anmelden",
    sign_in: "Anmelden",
    sign_in_with: "Anmelden mit",
    or: "oder",
    to_reach: "und weiter zu",
    at: "bei",
    another_organisation: "Andere Organisation",
    forgotten: "Passwort vergessen?",

    second_title: "Noch ein Schritt",
    second_text: "Ihr Passwort war richtig. Zeigen Sie nun, dass Sie es sind.",
    second_code: "Code",
    second_hint: "Sechs Ziffern aus Ihrer App oder einer Ihrer Ersatzcodes",

    sign_in_with_passkey: "Mit Passkey anmelden",
    passkey_title: "Passkey benutzen",
    passkey_text: "Ihr Browser fragt nun danach. Folgen Sie dem, was er sagt.",
    passkey_failed: "Das hat nicht geklappt oder wurde abgebrochen. Mit dem Knopf versuchen Sie es noch einmal.",
    passkey_otherwise: "Auf andere Weise anmelden",
    set_up_passkey: "Passkey einrichten",
    passkey_new_title: "Passkey einrichten",
    passkey_not_now: "Nicht jetzt",
    passkey_done_title: "Ihr Passkey ist eingerichtet",
    passkey_done: "Von nun an können Sie sich damit anmelden, ohne Passwort.",
    passkey_use_once: "Benutzen Sie ihn nun einmal, damit sicher ist, dass er geht: Ihr Browser fragt danach.",

    set_up_title: "Zweiten Faktor einrichten",
    set_up_required: "verlangt von allen einen zweiten Faktor, und Sie haben noch keinen.",
    set_up_text: "Danach meldet sich niemand als Sie an, der nur Ihr Passwort kennt.",
    set_up_app: "Authenticator-App benutzen",
    set_up_not_now: "Nicht jetzt",
    set_up_app_title: "Konto zur App hinzufügen",
    set_up_scan: "Öffnen Sie die Authenticator-App auf Ihrem Telefon, fügen Sie dort ein Konto hinzu und scannen Sie dieses Bild.",
    set_up_picture: "Das Bild für Ihre App. Was es enthält, steht darunter in Buchstaben.",
    set_up_type: "Können Sie es nicht scannen, geben Sie diesen Schlüssel in die App ein:",
    set_up_here: "Die App ist auf diesem Gerät: öffnen",
    set_up_code: "Code",
    set_up_code_hint: "Sechs Ziffern, die die App nun für dieses Konto zeigt",
    set_up_save: "Einrichten",
    set_up_back: "Neu beginnen",
    set_up_done_title: "Ihr zweiter Faktor ist eingerichtet",
    set_up_done: "Beim Anmelden werden Sie danach gefragt.",
    codes_title: "Bewahren Sie Ihre Ersatzcodes auf",
    codes_text: "Ihr zweiter Faktor ist eingerichtet. Verlieren Sie ihn, steht jeder dieser Codes einmal dafür.",
    codes_once: "Sie sehen sie nur dieses eine Mal. Schreiben oder drucken Sie sie ab und bewahren Sie sie auf, wo sie sonst niemand \
                 findet.",
    codes_kept: "Ich habe sie aufbewahrt: weiter",
    codes_lost: "Sie haben Ihre Ersatzcodes nicht aufbewahrt? Holen Sie neue: Die bisherigen gelten dann nicht mehr.",
    codes_renew: "Neue Ersatzcodes holen",

    here_title: "Sie sind angemeldet",
    signed_in_as: "Sie sind angemeldet als",
    connect_device: "Gerät verbinden",
    sign_out: "Abmelden",
    another_account: "Anderes Konto benutzen",
    sign_out_title: "Abmelden?",
    sign_out_asked: "Zum Abmelden fordert Sie auf:",
    signed_out_title: "Sie sind abgemeldet",
    signed_out: "In diesem Browser ist nun niemand angemeldet. Sie können die Seite schließen.",

    consent_title: "Zugriff erlauben?",
    consent_asks: "bittet um Zugriff auf Ihr Konto",
    consent_would: "Damit könnte die Anwendung:",
    allow: "Erlauben",
    deny: "Nicht erlauben",

    consents_title: "Anwendungen mit Zugriff",
    consents_text: "Nehmen Sie es zurück, ist die Anwendung sofort abgemeldet und fragt, bevor sie wieder Zugriff hat.",
    consents_none: "Sie haben keiner Anwendung Zugriff erlaubt.",
    consents_questioned: "Sie werden gefragt, bevor sie wieder Zugriff hat.",
    consents_take_back: "Zugriff zurücknehmen",
    back: "Zurück",

    device_title: "Gerät verbinden",
    device_text: "Geben Sie den Code ein, den Ihr Gerät zeigt.",
    device_code: "Code",
    device_hint: "Acht Buchstaben, zum Beispiel BCDF-GHJK",
    device_ask_title: "Ist das Ihr Gerät?",
    device_asks: "möchte mit Ihrem Konto verbunden werden",
    device_shown: "Code",
    device_from: "Gefragt von",
    device_when: "Gefragt um",
    device_warning: "Verbinden Sie es nur, wenn Sie das Gerät vor sich haben und es genau diesen Code zeigt. Hat Ihnen \
                     jemand den Code geschickt, verbinden Sie es nicht.",
    device_allow: "Verbinden",
    device_deny: "Nicht verbinden",
    device_allowed_title: "Das Gerät ist verbunden",
    device_allowed: "Es macht in wenigen Sekunden von selbst weiter. Sie können die Seite schließen.",
    device_denied_title: "Das Gerät ist nicht verbunden",
    device_denied: "Es wurde nichts erlaubt. Sie können die Seite schließen.",

    forgot_title: "Neues Passwort wählen",
    forgot_text: "Wir senden Ihnen einen Link, mit dem Sie ein neues Passwort wählen.",
    forgot_send: "Link senden",
    sent_title: "Sehen Sie in Ihr Postfach",
    sent: "Gibt es ein solches Konto, ist ein Brief mit einem Link dorthin unterwegs. Das kann einige Minuten dauern.",

    link_code: "Code des Links",
    link_hint: "Alles, was im Link des Briefes hinter dem # steht",
    reset_title: "Neues Passwort wählen",
    reset_text: "Sie werden überall abgemeldet.",
    new_password: "Neues Passwort",
    new_password_hint: ["Mindestens ", " Zeichen; mehrere Wörter ohne Zusammenhang sind gut"],
    reset_save: "Passwort speichern",
    reset_done_title: "Ihr Passwort wurde geändert",
    reset_done: "Sie wurden überall abgemeldet. Melden Sie sich mit dem neuen Passwort an.",
    verify_title: "Adresse bestätigen",
    verify_text: "Geben Sie das Passwort ein, das Sie bei der Registrierung gewählt haben. Haben Sie sich nicht registriert, verlassen \
                  Sie diese Seite: jemand hat Ihre Adresse benutzt und kommt ohne Sie nicht weiter.",
    verify_done_title: "Ihre Adresse ist bestätigt",
    verify_done: "Sie können sich nun anmelden.",
    address_title: "Neue Adresse bestätigen",
    address_text: "Mit dem Knopf gilt von nun an diese Adresse.",
    address_done: "Von nun an melden Sie sich mit ihr an.",
    founding_title: "Neue Organisation bestätigen",
    founding_text: "Geben Sie das Passwort ein, das Sie gewählt haben, als Sie die Organisation beantragt haben. Haben Sie keine \
                    beantragt, verlassen Sie diese Seite: jemand hat Ihre Adresse benutzt und kommt ohne Sie nicht weiter.",
    founding_slug: "Anderer Kurzname",
    founding_done_title: "Ihre Organisation wartet auf Freigabe",
    founding_done: "Sie können sich schon anmelden. Wir schreiben Ihnen, wenn entschieden ist.",
    confirm: "Bestätigen",

    invitation_title: "Sie sind eingeladen",
    invitation_by: "lädt Sie ein zu",
    invitation_to: "Sie sind eingeladen zu",
    invitation_as: "Sie nehmen an als",
    invitation_new: "Wählen Sie ein Passwort für Ihr neues Konto, oder geben Sie das ein, das Sie hier schon haben.",
    invitation_known: "Sie haben hier schon ein Konto? Melden Sie sich erst an und öffnen Sie dann den Link noch einmal.",
    given_name: "Vorname",
    family_name: "Nachname",
    optional: "(wenn Sie möchten)",
    accept: "Annehmen",
    decline: "Ablehnen",
    accepted_title: "Willkommen",
    accepted: "Sie gehören nun zur Organisation.",
    declined_title: "Die Einladung ist abgelehnt",
    declined: "Mehr geschieht nicht. Sie können die Seite schließen.",

    leaving_title: "Einen Moment",
    leaving_text: "Sie kommen zurück zur Anwendung.",
    leaving_where: "Dieser Link führt auf eine andere Seite:",
    asks_wrongly: "hat Sie hierher geschickt und fragt auf eine Weise, die sich nicht beantworten lässt.",
    refused_title: "Das hat nicht geklappt",

    scopes,
    permissions,
    of_others: ["die Berechtigung „", "“ eines anderen Programms nutzen"],
    refusals,
    weaknesses,
    not_possible: "Das ist so nicht möglich. Gehen Sie zurück und beginnen Sie neu.",
    not_now: "Das geht gerade nicht. Versuchen Sie es etwas später noch einmal.",
    too_often: "Das wurde zu oft versucht. Warten Sie etwas und versuchen Sie es dann noch einmal.",
    our_fault: "Bei uns ist etwas schiefgegangen. Versuchen Sie es noch einmal; bleibt es so, schreiben Sie uns.",
};

fn scopes(name: &str) -> Option<&'static str> {
    Some(match name {
        "openid" => "wissen, wer Sie sind",
        "profile" => "Ihren Namen und Ihre Sprache sehen",
        "email" => "Ihre E-Mail-Adresse sehen",
        "phone" => "Ihre Telefonnummer sehen",
        "address" => "Ihre Postanschrift sehen",
        "organization" => "Ihre Organisation sehen und welche Rollen Sie darin haben",
        "offline_access" => "für Sie handeln, während Sie weg sind, bis Sie es beenden",
        _ => return None,
    })
}

/// All that `oauth::grants::may_be_lent` lets services have.
fn permissions(name: &str) -> Option<&'static str> {
    Some(match name {
        "ledger.open-account" => "Konten eröffnen",
        "ledger.freeze-account" => "Konten für Belastungen, Gutschriften oder beides sperren",
        "ledger.unfreeze-account" => "gesperrte Konten wieder freigeben",
        "ledger.close-account" => "leere Konten für immer schließen",
        "ledger.post-transfer" => "Geld überweisen oder vormerken",
        "ledger.post-hold" => "vorgemerkte Beträge einziehen",
        "ledger.void-hold" => "vorgemerkte Beträge freigeben",
        "ledger.reverse-transfer" => "Überweisungen zurückbuchen",
        "ledger.close-period" => "die Bücher bis zu einem Zeitpunkt abschließen",
        "ledger.read-accounts" => "Konten, ihre Stände und ihre Buchungen lesen",
        "ledger.read-transfers" => "Überweisungen lesen",
        "ledger.read-journal" => "die Saldenliste und das Journal lesen",
        "events.read-events" => {
            "jedes Ereignis der Organisation lesen, und was zu jeder Zeit in den Büchern stand"
        }
        "projections.read-projections" => "lesen, wie weit die Auswertungen sind",
        "audit.read-trail" => "lesen, wer was tat und las und wem was verweigert wurde",
        "audit.export-trail" => "einen Teil dieses Protokolls mitnehmen",
        "identity.read-users" => "Personen mit ihren persönlichen Daten lesen",
        "identity.read-sessions" => "lesen, wo eine Person angemeldet ist",
        "identity.read-sign-ins" => "lesen, wer sich anmeldete, bei wem es nicht gelang, und von wo",
        "organisation.read-organisation" => "die Angaben zur Organisation lesen",
        "organisation.read-policy" => "die Einstellungen und Regeln der Organisation lesen",
        "organisation.read-members" => "die Mitglieder und ihre Rollen lesen",
        "organisation.read-roles" => "die Rollen der Organisation lesen",
        "organisation.read-invitations" => "die Einladungen lesen",
        "federation.read-providers" => "lesen, mit wem man sich anmelden kann und wie das eingerichtet ist",
        "application.read-services" => "die Anwendungen der Organisation lesen",
        "application.read-api-keys" => "die API-Schlüssel lesen, aber nicht, woraus sie bestehen",
        _ => return None,
    })
}

fn weaknesses(code: &str) -> Option<&'static str> {
    Some(match code {
        "password.too-short" => "Es hat zu wenige Zeichen.",
        "password.too-long" => "Es hat mehr als 128 Zeichen.",
        "password.common" => "Viele Menschen benutzen es, darum wird es zuerst probiert.",
        "password.personal" => {
            "Ohne Ihren Namen, Ihre Adresse oder Ihre Organisation bleibt wenig davon übrig."
        }
        "password.kinds-missing" => {
            "Es braucht mehr Arten von Zeichen: kleine und große Buchstaben, Ziffern und andere."
        }
        "password.guessable" => "Es ist schnell erraten; mehrere Wörter ohne Zusammenhang sind besser.",
        _ => return None,
    })
}

fn refusals(code: &str) -> Option<&'static str> {
    Some(match code {
        "identity.invalid-credentials" => "Organisation, Adresse und Passwort gehören nicht zusammen.",
        "identity.locked" => {
            "Das war zu oft falsch. Eine Weile wird nichts mehr geprüft; versuchen Sie es später."
        }
        "identity.email-unverified" => {
            "Bestätigen Sie erst Ihre Adresse: Wir haben Ihnen einen Link geschickt."
        }
        "identity.email-malformed" => "Das ist keine E-Mail-Adresse. Schreiben Sie sie als name@example.com.",
        "identity.link-invalid" => "Der Link gilt nicht oder nicht mehr. Fordern Sie einen neuen an.",
        "identity.password-weak" => "Dieses Passwort ist zu schwach.",
        "auth.second-factor-missing" => {
            "Hier wird ein zweiter Faktor verlangt, und diese Anmeldung hat keinen gezeigt. Melden Sie sich noch einmal an, mit \
             ihm."
        }
        "identity.factor-not-found" => {
            "Das hat zu lange gedauert, oder Sie haben in einem anderen Fenster neu begonnen. Was Sie Ihrer App hinzugefügt haben, \
             nützt nichts: Entfernen Sie es dort und beginnen Sie hier neu."
        }
        "identity.factors-off" => "Ihre Organisation lässt niemanden einen zweiten Faktor einrichten.",
        "identity.factor-exists" => "Das haben Sie schon eingerichtet.",
        "identity.too-many-factors" => {
            "Sie haben so viele Passkeys, wie Sie haben dürfen. Entfernen Sie erst einen."
        }
        "auth.step-up-required" => {
            "Zeigen Sie dafür noch einmal, dass Sie es sind: Melden Sie sich an und beginnen Sie dann neu."
        }
        "identity.passkey-invalid" => {
            "Dieser Passkey ist hier nicht bekannt, oder was er gezeigt hat, gilt nicht. Versuchen Sie es noch einmal, oder \
             melden Sie sich auf andere Weise an."
        }
        "identity.code-invalid" => "Der Code stimmt nicht oder gilt nicht mehr.",
        "organisation.not-active" => "Die Organisation kann zurzeit nicht benutzt werden.",
        "organisation.slug-taken" => "Der Kurzname ist inzwischen vergeben. Wählen Sie einen anderen.",
        "organisation.slug-malformed" | "organisation.slug-reserved" => {
            "Das kann kein Kurzname sein. Nehmen Sie 3 bis 40 kleine Buchstaben, Ziffern und Striche."
        }
        "organisation.invitation-invalid" | "organisation.invitation-over" => {
            "Die Einladung gilt nicht oder nicht mehr. Bitten Sie um eine neue."
        }
        "organisation.invitation-for-another" => "Diese Einladung gilt einer anderen Adresse als Ihrer.",
        "organisation.already-member" => "Sie gehören schon zur Organisation.",
        "organisation.seats-used-up" => {
            "Die Organisation hat keinen freien Platz. Sagen Sie es dem, der Sie eingeladen hat."
        }
        "federation.denied" => "Die Anmeldung wurde beim Anbieter nicht erlaubt.",
        "federation.not-fresh" => {
            "Der Anbieter sagt nicht, dass Sie sich dort eben angemeldet haben. Tun Sie es noch einmal, oder melden Sie sich hier \
             auf andere Weise an."
        }
        "federation.address-not-vouched" => {
            "Der Anbieter bestätigt keine E-Mail-Adresse von Ihnen, für die ihm die Organisation glaubt. Haben Sie hier ein Konto, \
             melden Sie sich auf andere Weise an. Haben Sie keines, fragen Sie, wer die Organisation verwaltet."
        }
        "federation.link-needs-sign-in" => {
            "Es gibt schon ein Konto mit Ihrer Adresse. Melden Sie sich damit an und verknüpfen Sie dann den Anbieter."
        }
        "federation.provider-unavailable"
        | "federation.answer-invalid"
        | "federation.state-invalid"
        | "federation.handover-invalid" => {
            "Die Anmeldung beim Anbieter hat nicht geklappt. Beginnen Sie sie neu."
        }
        "oauth.request-invalid" => {
            "Die Anwendung, die Sie hierher geschickt hat, fragt auf eine Weise, die sich nicht beantworten lässt. Gehen Sie \
             zu ihr zurück und zeigen Sie ihren Betreibern, was unten steht."
        }
        "oauth.request-unknown" => {
            "Das hat zu lange gedauert oder wurde schon benutzt. Beginnen Sie in der Anwendung noch einmal."
        }
        "oauth.user-code-unknown" => {
            "Kein Gerät wartet mit diesem Code. Prüfen Sie ihn, oder lassen Sie das Gerät einen neuen zeigen."
        }
        "application.grant-decided" => "Das ist schon entschieden.",
        "page.form-invalid" => {
            "Dieses Formular ist zu alt oder wurde anders geöffnet, als es soll. Öffnen Sie die Seite noch einmal. Ihr Browser \
             muss Cookies annehmen."
        }
        "request.not-found" => "Hier ist nichts.",
        "request.method-not-allowed" => {
            "Hier gibt es nichts zu sehen: Diese Adresse nimmt nur an, was ein Formular sendet. Beginnen Sie neu."
        }
        _ => return None,
    })
}
