//! `quipu user`: persons that an operator adds by hand, such as the platform's first owner. Everybody else registers or is
//! invited.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use command_api::passwords::rules::{Demands, Weakness};
use command_api::passwords::{Accepted, Password, Passwords};
use domain::Refusal;
use domain::identity::{EmailHash, PersonNames, RegisterUser, SetPassword, Withdraw, user};
use domain::ids::{ActorId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{AddMember, Granter, Policy, RoleRef};
use domain::private::Private;
use domain::words::Word;
use event_store::keyring::IndexOf;
use event_store::{Cause, Unit};
use serde_json::json;
use service_kit::config::HashConfig;
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use uuid::Uuid;

use crate::admin::{Admin, AdminArgs};
use crate::console;
use crate::stack::layout::Layout;

/// Bytes of a password that are read at most.
const PASSWORD_BYTES_MAX: u64 = 1_024;

/// What to do with persons.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person with a password, whose address is taken as proven; prints their id. The password comes from standard
    /// input.
    #[command(
        after_help = "Example:\n  pass quipu/ann | quipu user add --email ann@example.com --role owner"
    )]
    Add(AddArgs),
}

/// A new person.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The organisation; the platform itself, if left out.
    #[arg(long, default_value_t = TenantId::PLATFORM.uuid())]
    tenant: Uuid,
    /// Where they are written to.
    #[arg(long)]
    email: String,
    /// What they are: `owner`, `admin`, `manager`, `user`, or the id of a role of the organisation's own.
    #[arg(long = "role", required = true)]
    roles: Vec<String>,
    /// What they are called by friends.
    #[arg(long)]
    given_name: Option<String>,
    /// What their family is called.
    #[arg(long)]
    family_name: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A person to be, who has shown to an operator that the address is theirs.
pub struct NewPerson {
    /// Their identifier.
    pub user_id: UserId,
    /// Where they are written to.
    pub email: EmailAddress,
    /// What will prove that it is them.
    pub password: Password,
    /// What they are called by friends.
    pub given_name: Option<Label>,
    /// What their family is called.
    pub family_name: Option<Label>,
    /// What they are.
    pub roles: Vec<RoleRef>,
}

/// Runs `quipu user`.
///
/// # Errors
/// If the person cannot be added, with why.
pub async fn run(layout: &Layout, command: UserCommand) -> anyhow::Result<()> {
    let UserCommand::Add(args) = command;
    let label = |it: Option<&String>| it.map(|it| Label::parse(it.as_str())).transpose();
    let person = NewPerson {
        user_id: UserId::new(Uuid::now_v7()),
        email: EmailAddress::parse(&args.email)?,
        password: from_input()?,
        given_name: label(args.given_name.as_ref())?,
        family_name: label(args.family_name.as_ref())?,
        roles: args.roles.iter().map(|it| RoleRef::parse(it)).collect::<Result<_, _>>()?,
    };
    let user_id = person.user_id;
    let admin = Admin::connect(&args.admin.settings(layout)?)?;
    admin.add_person(TenantId::new(args.tenant), person).await?;
    if args.json {
        console::data(json!({ "user_id": user_id, "tenant_id": args.tenant }).to_string());
    } else {
        console::data(user_id.to_string());
    }
    Ok(())
}

fn from_input() -> anyhow::Result<Password> {
    let input = std::io::stdin();
    if input.is_terminal() {
        console::note("type the password and a line end; it is shown while you type, so better pipe it in");
        let mut line = String::new();
        input.read_line(&mut line)?;
        return Ok(Password::new(line.trim_end_matches(['\r', '\n'])));
    }
    let mut text = String::new();
    input.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).context("the password is not text")?;
    Ok(Password::new(text.trim_end_matches(['\r', '\n'])))
}

impl Admin {
    /// Adds a person with a password and roles, on the operator's word.
    ///
    /// # Errors
    /// If the password is too weak, the identifier or address is in use, or the log cannot be reached.
    pub async fn add_person(&self, tenant: TenantId, person: NewPerson) -> anyhow::Result<()> {
        match self.person_added(tenant, person).await? {
            Some(refusal) => bail!("{} ({})", refusal.message, refusal.code),
            None => Ok(()),
        }
    }

    /// The same; a refusal is told for what it is.
    pub(crate) async fn person_added(
        &self,
        tenant: TenantId,
        person: NewPerson,
    ) -> anyhow::Result<Option<Refusal>> {
        let hashed = self.hashed(&person).await?;
        let NewPerson { user_id, email, given_name, family_name, roles, .. } = person;
        let private = |name: Label| Private::new(user_id.uuid(), name.as_str());
        let index = self.master().index(tenant, IndexOf::Email, email.normal().as_bytes());
        let register = RegisterUser {
            user_id,
            email: Private::new(user_id.uuid(), email.mailbox()),
            email_hash: EmailHash::new(index.0),
            names: PersonNames { given: given_name.map(private), family: family_name.map(private) },
            language: Policy::default().language,
            via: Word::of("operator"),
            verified: true,
        };
        let set_password = SetPassword {
            user_id,
            because: Word::of("registered"),
            seen: 0,
            withdraw: Withdraw::Nothing,
            by: ActorId::SYSTEM,
        };
        let table = role_table(tenant).clone();
        let join = AddMember { user_id, roles, by: Granter::Platform, table };
        let unit = Unit::new(tenant, Cause::system(Uuid::now_v7()), register)
            .and(tenant, set_password)
            .and(tenant, join)
            .minting(user::stream(user_id))
            .with_vault([hashed.put(tenant, user_id, 1)]);
        self.judged(unit).await
    }

    async fn hashed(&self, person: &NewPerson) -> anyhow::Result<command_api::passwords::hash::Hashed> {
        let rules = Policy::default().password;
        let names = [&person.given_name, &person.family_name].into_iter().flatten().map(Label::as_str);
        let demands = Demands {
            length_min: rules.length_min.into(),
            score_min: rules.score_min,
            kinds_min: 0,
            words: person.email.words().chain(names).map(str::to_owned).collect(),
        };
        let passwords = Passwords::start(&HashConfig::default(), self.master())?;
        match passwords.accept(person.password.clone(), demands).await? {
            Accepted::Yes(hashed) => Ok(hashed),
            Accepted::No(weaknesses) => {
                let why: Vec<String> = weaknesses.iter().map(Weakness::detail).collect();
                bail!("the password is too weak: {}", why.join("; "))
            }
        }
    }
}
