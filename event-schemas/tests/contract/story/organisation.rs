//! How the shop stands, what it asks of its people, and who they are.

use chrono::TimeDelta;
use domain::email::EmailHash;
use domain::identity::{PersonNames, RegisterUser};
use domain::ids::{InvitationId, RoleId, TenantId, UserId};
use domain::joining::AcceptInvitation;
use domain::organisation::{
    AddMember, ApproveTenant, AssignRoles, ChangeStanding, ChangeTier, CloseTenant, DeclineInvitation,
    DefineRole, DeleteRole, ExpireInvitation, Granter, Invite, Policy, ReactivateTenant, RedefineRole,
    Registration, RejectTenant, RemoveMember, RenameOrganisation, RenameTenant, RequestTenant,
    ResendInvitation, RevokeInvitation, RoleRef, RoleTable, SetPolicy, SetSeats, Slug, SuspendTenant,
    TenantStatus, TransferOwnership,
};
use domain::private::Private;
use domain::words::{DomainName, Language, Permission, Word};

use super::{OPERATOR, Teller, Told, id, label};

pub(super) const OLGA: UserId = UserId::new(id(0x11));
pub(super) const ADAM: UserId = UserId::new(id(0x12));
const NORA: UserId = UserId::new(id(0x14));
const CLERK: RoleId = RoleId::new(id(0x21));

pub(super) fn table() -> RoleTable {
    RoleTable::new([
        ("admin", ["ledger.post-transfer", "ledger.read-accounts"]),
        ("user", ["ledger.read-accounts"; 2]),
    ])
}

pub(super) fn add(user_id: UserId, role: RoleRef, by: Granter) -> AddMember {
    AddMember { user_id, roles: vec![role], by, table: table() }
}

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    shop.tells(ChangeStanding { to: TenantStatus::Active, because: Word::of("approved") })?;
    shop.tells_better(SetSeats { seats: Some(25) })?;
    let mut policy = Policy { registration: Registration::Private, ..Policy::default() };
    policy.providers = Some(vec![Word::of("github"), Word::of("google")]);
    policy.domains = vec![DomainName::of("corner-shop.example")];
    shop.tells(SetPolicy { policy })?;

    shop.tells(add(OLGA, RoleRef::OWNER, Granter::Platform))?;
    let owner = Granter::Member(OLGA);
    let define = DefineRole {
        role_id: CLERK,
        name: label("Clerk")?,
        permissions: vec![Permission::of("ledger.read-accounts")],
        by: owner,
        table: table(),
    };
    shop.tells(define.clone())?;
    let DefineRole { role_id, name, by, table, .. } = define;
    let permissions = vec![Permission::of("ledger.post-transfer"), Permission::of("ledger.read-accounts")];
    shop.tells(RedefineRole { role_id, name, permissions, by, table })?;
    shop.tells(add(ADAM, RoleRef::USER, owner))?;
    let roles = vec![RoleRef::ADMIN, RoleRef::Custom(CLERK)];
    shop.tells(AssignRoles { user_id: ADAM, roles, by: owner, table: self::table() })?;
    shop.tells(TransferOwnership { from: OLGA, to: ADAM })?;
    let (user_id, because) = (ADAM, Word::of("left"));
    shop.runs(TransferOwnership { from: ADAM, to: OLGA })?;
    shop.tells(RemoveMember { user_id, because, by: Granter::Member(ADAM), table: self::table() })?;
    shop.tells(DeleteRole { role_id: CLERK, by: owner, table: self::table() })?;
    invitations(shop)?;
    dossier(shop)
}

fn invite(number: u8, shop: &Teller) -> Invite {
    let invitation_id = InvitationId::new(id(0x60 + u128::from(number)));
    Invite {
        invitation_id,
        email: Private::new(invitation_id.uuid(), "new@corner-shop.example"),
        email_hash: EmailHash::new([number; 32]),
        holder: None,
        roles: vec![RoleRef::USER],
        expires_at: shop.now + TimeDelta::days(7),
        by: Granter::Member(OLGA),
        table: table(),
    }
}

fn invitations(shop: &mut Teller) -> Told<()> {
    let [first, second, third, fourth] = [10, 11, 12, 13].map(|number| invite(number, shop));
    shop.tells(first.clone())?;
    let expires_at = shop.now + TimeDelta::days(14);
    shop.tells(ResendInvitation { invitation_id: first.invitation_id, expires_at })?;
    // Whoever accepts has the invited address, and it is verified.
    shop.runs(RegisterUser {
        user_id: NORA,
        email: Private::new(NORA.uuid(), "new@corner-shop.example"),
        email_hash: first.email_hash,
        names: PersonNames::default(),
        language: Language::of("en"),
        via: Word::of("invitation"),
        verified: true,
    })?;
    shop.tells(AcceptInvitation {
        invitation_id: first.invitation_id,
        sendings: 2,
        email_hash: first.email_hash,
        user_id: NORA,
        same_email: Some(1),
        table: table(),
    })?;
    for invitation in [&second, &third, &fourth] {
        shop.runs(invitation.clone())?;
    }
    let Invite { invitation_id, email_hash, .. } = second;
    shop.tells(DeclineInvitation { invitation_id, sendings: 1, email_hash })?;
    let Invite { invitation_id, email_hash, .. } = third;
    shop.tells(RevokeInvitation { invitation_id, email_hash })?;
    shop.now += TimeDelta::days(8);
    let Invite { invitation_id, email_hash, .. } = fourth;
    shop.tells(ExpireInvitation { invitation_id, email_hash })
}

/// What the platform keeps, as if it were the shop's own log.
fn dossier(shop: &mut Teller) -> Told<()> {
    let [bakery, butcher] = [0x71, 0x72].map(|number| TenantId::new(id(number)));
    let ask = |tenant_id, slug: &str| -> Told<RequestTenant> {
        Ok(RequestTenant { tenant_id, slug: Slug::parse(slug)?, name: label("Bakery")?, founder: OLGA })
    };
    let reason = |text: &str| Some(Private::new(OLGA.uuid(), text));
    let (tenant_id, by) = (bakery, OPERATOR);
    shop.tells(ask(bakery, "bakery")?)?;
    shop.tells(ApproveTenant { tenant_id, by, is: vec![] })?;
    shop.tells(RenameTenant { tenant_id, name: label("Bakery and café")? })?;
    shop.runs(ChangeTier { tenant_id, tier: Word::of("small"), by })?;
    shop.tells_better(ChangeTier { tenant_id, tier: Word::of("large"), by })?;
    let because = Word::of("unpaid");
    shop.tells(SuspendTenant { tenant_id, by, because, reason: reason("The invoice of May is open.") })?;
    shop.tells(ReactivateTenant { tenant_id, by })?;
    shop.tells(CloseTenant { tenant_id, by, because: Word::of("asked") })?;
    shop.runs(ask(butcher, "butcher")?)?;
    shop.tells(RejectTenant { tenant_id: butcher, by, reason: reason("The address does not exist.") })
}

/// The shop gets another name, which stands in its own log too.
pub(super) fn tell_of_a_name(shop: &mut Teller) -> Told<()> {
    shop.tells(RenameOrganisation { before: label("Corner shop")?, name: label("Olga's corner shop")? })
}
