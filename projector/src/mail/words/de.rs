//! German.

use event_store::vault::{AddressStage, FactorChange, Mail, Purpose, Ruling};

use super::{Here, Words, moment_de as moment, said, verify_path};

const NOT_YOU: &str =
    "Falls Sie diesen Brief nicht erwartet haben, ist nichts zu tun: ohne den Link geschieht nichts.";
const ONE_USE: &str = "Der Link gilt einmal und nur für Sie: geben Sie ihn nicht weiter.";
const WAS_YOU: &str = "Falls Sie es selbst waren, ist nichts zu tun.";
const WAS_NOT_ME: &str = "Das war ich nicht: neues Passwort wählen";

pub(super) fn words(mail: &Mail, here: &Here<'_>) -> Words {
    match mail {
        Mail::VerifyAddress { purpose, token, until } => {
            let (subject, first, label) = match purpose {
                Purpose::Account => (
                    "Bestätigen Sie Ihre Adresse",
                    format!("Mit dieser Adresse wurde ein Konto bei {} angelegt.", here.place()),
                    "Adresse bestätigen",
                ),
                Purpose::Change => (
                    "Bestätigen Sie Ihre neue Adresse",
                    format!("Ein Konto bei {} soll künftig diese Adresse haben.", here.place()),
                    "Neue Adresse bestätigen",
                ),
                Purpose::Organisation => (
                    "Bestätigen Sie Ihre neue Organisation",
                    format!("Mit dieser Adresse wurde eine neue Organisation bei {} angemeldet.", here.place()),
                    "Organisation bestätigen",
                ),
            };
            Words::new(
                subject,
                [first, format!("Falls Sie es waren, bestätigen Sie es bis {}.", moment(*until))],
            )
            .action(label, here.link(verify_path(*purpose), token))
            .afterwards([ONE_USE.to_owned(), NOT_YOU.to_owned()])
        }
        Mail::RegisteredAlready => Words::new(
            "Sie haben schon ein Konto",
            [
                format!(
                    "Jemand, vielleicht Sie, wollte mit dieser Adresse ein Konto bei {} anlegen.",
                    here.place()
                ),
                "Sie hat schon eines, also wurde nichts geändert. Melden Sie sich mit Ihrem Passwort an, oder wählen \
                 Sie ein neues, falls Sie es vergessen haben."
                    .to_owned(),
            ],
        )
        .action("Anmelden", here.asking("/sign-in"))
        .afterwards(["Falls Sie es nicht waren, ist nichts zu tun.".to_owned()]),
        Mail::Reset { token, until } => Words::new(
            "Wählen Sie ein neues Passwort",
            [
                format!("Für Ihr Konto bei {} wurde ein neues Passwort angefordert.", here.place()),
                format!("Wählen Sie es bis {}. Sie werden überall abgemeldet.", moment(*until)),
            ],
        )
        .action("Neues Passwort wählen", here.link("/reset", token))
        .afterwards([ONE_USE.to_owned(), NOT_YOU.to_owned()]),
        Mail::AccountMade { organisation, token, until } => Words::new(
            "Ihr neues Konto",
            [
                format!("Für Sie wurde ein Konto in {} bei {} angelegt.", said(organisation), here.host()),
                format!("Wählen Sie dafür bis {} ein Passwort.", moment(*until)),
            ],
        )
        .action("Passwort wählen", here.link("/reset", token))
        .afterwards([
            ONE_USE.to_owned(),
            "Ist es dafür zu spät, verlangen Sie einen neuen Link wie jemand, der das Passwort vergessen hat."
                .to_owned(),
            NOT_YOU.to_owned(),
        ]),
        Mail::PasswordChanged { at } => Words::new(
            "Ihr Passwort wurde geändert",
            [format!("Das Passwort Ihres Kontos bei {} wurde am {} geändert.", here.place(), moment(*at))],
        )
        .action(WAS_NOT_ME, here.asking("/forgot"))
        .afterwards([WAS_YOU.to_owned()]),
        Mail::AddressChanged { stage, at } => {
            let (subject, what) = match stage {
                AddressStage::Asked => (
                    "Eine andere Adresse wurde verlangt",
                    format!(
                        "Am {} wurde für Ihr Konto bei {} eine andere Adresse verlangt. Diese hier gilt, bis die \
                         andere bestätigt ist.",
                        moment(*at),
                        here.place()
                    ),
                ),
                AddressStage::Done => (
                    "Die Adresse Ihres Kontos wurde geändert",
                    format!("Die Adresse Ihres Kontos bei {} wurde am {} geändert.", here.place(), moment(*at)),
                ),
            };
            Words::new(subject, [what, WAS_YOU.to_owned()])
                .action(WAS_NOT_ME, here.asking("/forgot"))
                .afterwards([
                    "Falls die Adresse schon geändert ist und Sie es nicht waren, schreiben Sie sofort an Ihre \
                     Organisation."
                        .to_owned(),
                ])
        }
        Mail::Invitation { organisation, inviter, token, until } => {
            let organisation = said(organisation);
            let first = match inviter {
                Some(inviter) => {
                    format!("{} lädt Sie zu {organisation} bei {} ein.", said(inviter), here.host())
                }
                None => format!("Sie sind zu {organisation} bei {} eingeladen.", here.host()),
            };
            Words::new(
                format!("Einladung zu {organisation}"),
                [first, format!("Nehmen Sie bis {} an, oder lehnen Sie ab.", moment(*until))],
            )
            .action("Einladung ansehen", here.link("/invitation", token))
            .afterwards([
                ONE_USE.to_owned(),
                "Falls Sie den Absender nicht kennen, ist nichts zu tun.".to_owned(),
            ])
        }
        Mail::NewSignIn { at, device, address } => {
            let mut paragraphs = vec![format!(
                "Am {} hat sich jemand mit einem bisher unbekannten Gerät bei Ihrem Konto bei {} angemeldet.",
                moment(*at),
                here.place()
            )];
            paragraphs.extend(device.as_ref().map(|it| format!("Gerät: {}", said(it))));
            paragraphs.extend(address.as_ref().map(|it| format!("Netzadresse: {it}")));
            Words { paragraphs, ..Words::new("Anmeldung mit einem neuen Gerät", []) }
                .action(WAS_NOT_ME, here.asking("/forgot"))
                .afterwards([WAS_YOU.to_owned()])
        }
        Mail::Locked { at, until } => Words::new(
            "Die Anmeldung ist vorübergehend gesperrt",
            [
                format!(
                    "Am {} wurde das Passwort Ihres Kontos bei {} zu oft falsch geraten.",
                    moment(*at),
                    here.place()
                ),
                format!(
                    "Bis {} kann sich niemand mit einem Passwort anmelden. Danach endet die Sperre von selbst.",
                    moment(*until)
                ),
            ],
        )
        .action("Neues Passwort wählen", here.asking("/forgot"))
        .afterwards([
            "Falls Sie es nicht waren, hat Ihr Passwort gehalten. Ein längeres und ein zweiter Faktor machen es \
             stärker."
                .to_owned(),
        ]),
        Mail::FactorsChanged { change, at } => {
            let (subject, what) = match change {
                FactorChange::Added => ("Sie haben einen zweiten Faktor", "wurde ein Authenticator hinzugefügt"),
                FactorChange::Removed => ("Ihr zweiter Faktor wurde entfernt", "wurde der Authenticator entfernt"),
                FactorChange::PasskeyAdded => ("Sie haben einen neuen Passkey", "wurde ein Passkey hinzugefügt"),
                FactorChange::PasskeyRemoved => ("Ein Passkey wurde entfernt", "wurde ein Passkey entfernt"),
                FactorChange::RemovedByAdministrator => (
                    "Ihre zweiten Faktoren wurden entfernt",
                    "hat die Verwaltung alle zweiten Faktoren entfernt und alle Sitzungen beendet",
                ),
                FactorChange::CodesRenewed => {
                    ("Sie haben neue Wiederherstellungscodes", "haben neue Wiederherstellungscodes die alten ersetzt")
                }
                FactorChange::CodeUsed => (
                    "Ein Wiederherstellungscode wurde benutzt",
                    "hat sich jemand mit einem Wiederherstellungscode angemeldet, der damit verbraucht ist",
                ),
                FactorChange::Linked => (
                    "Ihr Konto wurde verknüpft",
                    "wurde es mit einem Konto in einer anderen Organisation verknüpft, von dem aus man ohne Passwort hierher \
                     kommt, bis die Verknüpfung in der Liste Ihrer Organisationen aufgehoben wird",
                ),
                FactorChange::Unlinked => (
                    "Eine Verknüpfung Ihres Kontos wurde aufgehoben",
                    "wurde die Verknüpfung mit einem Konto in einer anderen Organisation aufgehoben, sodass von dort niemand \
                     mehr hierher kommt",
                ),
                FactorChange::ProviderLinked => (
                    "Sie können sich mit einem Anbieter anmelden",
                    "wurde ein Konto bei einem Anbieter verknüpft, mit dem man sich hier ohne Passwort anmelden kann, bis die \
                     Verknüpfung in der Liste Ihrer Verknüpfungen aufgehoben wird",
                ),
                FactorChange::ProviderUnlinked => (
                    "Sie können sich mit einem Anbieter nicht mehr anmelden",
                    "wurde die Verknüpfung mit einem Konto bei einem Anbieter aufgehoben, mit dem man sich hier anmelden konnte",
                ),
                FactorChange::KeyIssued => (
                    "Ein neuer API-Schlüssel handelt für Sie",
                    "wurde ein API-Schlüssel angelegt, mit dem ein Programm für Sie handeln kann, bis er in der Liste der \
                     Schlüssel widerrufen wird; ein neues Passwort beendet ihn nicht",
                ),
            };
            Words::new(subject, [format!("Am {} {what}. Es geht um Ihr Konto bei {}.", moment(*at), here.place())])
                .action("Ich war es nicht: neues Passwort wählen", here.asking("/forgot"))
                .afterwards(["Falls Sie es waren, ist nichts zu tun.".to_owned()])
        }
        Mail::Impersonated { at, until, reason, ticket } => Words::new(
            "Wir handeln in Ihrem Konto",
            [
                format!(
                    "Seit {} kann jemand von uns in Ihrem Konto bei {} handeln, längstens bis {}.",
                    moment(*at),
                    here.place(),
                    moment(*until)
                ),
                format!("Weshalb: {} ({})", said(reason), said(ticket)),
                "Wir sehen und können dabei, was Sie sehen und können. Wie Sie sich anmelden, können wir nicht ändern, und was wir tun, wird als \
                 von uns getan festgehalten."
                    .to_owned(),
            ],
        )
        .afterwards(["Um es sofort zu beenden, beenden Sie alle Ihre Sitzungen. Wissen Sie von nichts, schreiben Sie uns."
            .to_owned()]),
        Mail::RefreshReused { at } => Words::new(
            "Eine Ihrer Sitzungen wurde beendet",
            [
                format!(
                    "Am {} wurde eine Anmeldung Ihres Kontos bei {} zweimal benutzt, eine der beiden also nicht von \
                     Ihnen.",
                    moment(*at),
                    here.place()
                ),
                "Wir haben diese Sitzung beendet. Melden Sie sich neu an, und wählen Sie ein neues Passwort, falls \
                 Sie es nicht erklären können."
                    .to_owned(),
            ],
        )
        .action("Neues Passwort wählen", here.asking("/forgot")),
        Mail::OrganisationDecided { organisation, decision, reason } => {
            let organisation = said(organisation);
            let (subject, what) = match decision {
                Ruling::Approved => {
                    ("ist zugelassen", "ist zugelassen. Ihre Mitglieder können ab jetzt arbeiten.")
                }
                Ruling::Rejected => ("wurde nicht zugelassen", "wurde nicht zugelassen."),
                Ruling::Suspended => {
                    ("ist ausgesetzt", "ist ausgesetzt. Vorerst kann niemand darin arbeiten.")
                }
                Ruling::Reactivated => {
                    ("ist wieder aktiv", "ist wieder aktiv. Melden Sie sich neu an.")
                }
                Ruling::Closed => {
                    ("wurde geschlossen", "wurde geschlossen. Niemand kann mehr darin arbeiten.")
                }
            };
            let mut paragraphs = vec![format!("Ihre Organisation {organisation} bei {} {what}", here.host())];
            paragraphs.extend(reason.as_ref().map(|it| format!("Die genannte Begründung: {}", said(it))));
            Words { paragraphs, ..Words::new(format!("{organisation} {subject}"), []) }
        }
        Mail::Erased { at, receipt } => Words::new(
            "Ihre Daten sind gelöscht",
            [
                format!(
                    "Am {} wurde alles, was {} über Sie wusste, für immer unlesbar gemacht.",
                    moment(*at),
                    here.place()
                ),
                format!(
                    "Der Beleg dafür ist {receipt}. Bewahren Sie ihn auf: wir wissen nichts mehr, womit wir Sie fänden."
                ),
                "Dies ist der letzte Brief, den Sie von uns bekommen.".to_owned(),
            ],
        ),
    }
}

pub(super) fn about(organisation: &str, slug: &str) -> String {
    format!("Es geht darin um {organisation}; der Kurzname für die Anmeldung ist {slug}.")
}

pub(super) fn written_by(host: &str) -> String {
    format!("Diesen Brief hat {host} selbst geschrieben. Eine Antwort darauf liest niemand.")
}
