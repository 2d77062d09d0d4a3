use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;

const SHOP: TenantId = TenantId::new(Uuid::from_u128(1));

fn held(tenant: TenantId, role: BuiltIn) -> BTreeSet<String> {
    let names = role_table(tenant).rows().find(|(name, _)| *name == role.name()).unwrap().1;
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn names_and_texts_are_well_formed_and_unique() {
    let names: BTreeSet<_> = ALL.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), ALL.len());
    for doc in ALL {
        let (context, what) = doc.name.split_once('.').unwrap();
        let plain = |text: &str| text.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
        assert!(plain(context) && plain(what) && what.contains('-'), "{}", doc.name);
        assert!(doc.text.starts_with(|it: char| it.is_ascii_lowercase()), "{}", doc.name);
        assert!(!doc.text.ends_with('.'), "{}", doc.name);
        assert_eq!(doc.is_of_platform, context == "platform", "{}", doc.name);
    }
}

#[test]
fn nobody_holds_anything_of_the_platform_elsewhere() {
    for role in BuiltIn::ALL {
        assert!(held(SHOP, role).iter().all(|it| !it.starts_with("platform.")), "{role:?}");
    }
    assert!(held(TenantId::PLATFORM, BuiltIn::Admin).contains("platform.approve-organisation"));
}

#[test]
fn each_built_in_role_holds_all_that_the_next_lesser_one_holds() {
    for doc in ALL {
        let held = |role: BuiltIn| doc.roles.contains(&role);
        assert!(!held(BuiltIn::User) || held(BuiltIn::Manager), "{}", doc.name);
        assert!(!held(BuiltIn::Manager) || held(BuiltIn::Admin), "{}", doc.name);
    }
}

#[test]
fn an_admin_neither_closes_the_organisation_nor_makes_owners_by_any_way() {
    let admin = held(SHOP, BuiltIn::Admin);
    let lacks = ALL.iter().filter(|it| !it.is_of_platform && !admin.contains(it.name));
    let lacks: Vec<_> = lacks.map(|it| it.name).collect();
    // Whoever says whom to trust for who people are could sign in as an owner.
    let by_trust = "federation.manage-providers";
    assert_eq!(lacks, ["organisation.close-organisation", "organisation.transfer-ownership", by_trust]);
}

#[test]
fn a_manager_reads_all_but_the_trail_and_a_user_nothing_of_the_organisations() {
    let (manager, user) = (held(SHOP, BuiltIn::Manager), held(SHOP, BuiltIn::User));
    for doc in ALL.iter().filter(|it| !it.is_of_platform) {
        let (context, what) = doc.name.split_once('.').unwrap();
        if what.starts_with("read-") {
            assert_eq!(manager.contains(doc.name), context != "audit", "{}", doc.name);
            let own = ["organisation.read-organisation", "federation.read-provider-token"];
            assert_eq!(user.contains(doc.name), own.contains(&doc.name), "{}", doc.name);
        } else {
            let writes = context == "ledger" && what != "close-period";
            assert_eq!(manager.contains(doc.name), writes || what == "invite-member", "{}", doc.name);
            assert!(!user.contains(doc.name), "{}", doc.name);
        }
    }
}
