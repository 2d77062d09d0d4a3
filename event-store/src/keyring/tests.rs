//! One master key takes over from another.

use secrecy::{ExposeSecret as _, SecretSlice};

use super::*;

const TENANT: TenantId = TenantId::PLATFORM;
const SUBJECT: Uuid = Uuid::from_u128(7);
const CELL: Cell<'static> = Cell { table: "totp", tenant: TENANT, row: SUBJECT, column: "sealed" };

fn first() -> MasterFile {
    MasterFile::read(&vec![1; 32].into()).unwrap()
}

fn reread(file: &MasterFile) -> MasterFile {
    let text = file.text();
    let text = text.expose_secret();
    MasterFile::read(&SecretSlice::from(text.as_bytes().to_vec())).unwrap()
}

fn key(file: &MasterFile) -> MasterKey {
    MasterKey::of(file).unwrap()
}

#[test]
fn a_key_waits_takes_over_and_is_left_alone() {
    let alone = key(&first());
    let before = alone.seal_cell(&CELL, b"seed").unwrap();
    assert_eq!((KeyTag::of(&before), alone.seals_as()), (None, None), "the first key needs no name");

    let waiting = reread(&first().with_next().unwrap());
    let meanwhile = key(&waiting).seal_cell(&CELL, b"seed").unwrap();
    assert_ne!(key(&waiting).seals_as(), None);
    assert_eq!(alone.open_cell(&CELL, &meanwhile).unwrap(), b"seed", "the key that waits does not seal");

    let over = reread(&waiting.taken_over().unwrap());
    let after = key(&over).seal_cell(&CELL, b"seed").unwrap();
    for sealed in [&before, &meanwhile, &after] {
        assert_eq!(key(&over).open_cell(&CELL, sealed).unwrap(), b"seed");
    }
    let named = KeyTag::of(&after).map(|(tag, _)| tag);
    assert_eq!(named, key(&over).seals_as());
    assert!(after.starts_with(&named.unwrap().head()));

    let last = key(&reread(&over.without_older()));
    assert_eq!(last.open_cell(&CELL, &after).unwrap(), b"seed");
    assert!(matches!(last.open_cell(&CELL, &before), Err(KeyError::Unopenable)));
    let Err(KeyError::Lacking(tag)) = last.open_cell(&CELL, &meanwhile) else { panic!("it has no such key") };
    assert_eq!(Some(tag), KeyTag::of(&meanwhile).map(|(tag, _)| tag), "it says which");
}

#[test]
fn whoever_has_not_heard_of_the_ring_opens_what_waits_in_it() {
    let waiting = first().with_next().unwrap();
    let text = waiting.text();
    let next = key(&waiting.taken_over().unwrap()).seal_cell(&CELL, b"seed").unwrap();
    let earlier = MasterFile::read(&SecretSlice::from(text.expose_secret().as_bytes().to_vec())).unwrap();
    assert_eq!(key(&earlier).open_cell(&CELL, &next).unwrap(), b"seed", "before its own file was changed");
    assert!(matches!(key(&first()).open_cell(&CELL, &next), Err(KeyError::Lacking(_))));
}

#[test]
fn a_subject_key_is_the_same_under_another_master_key() {
    let old = key(&first());
    let (subject, wrapped) = old.make(TENANT, SUBJECT).unwrap();
    let stream = StreamId::new(domain::stream::Category { code: 1, name: "test.subject" }, SUBJECT);
    let place = Place { tenant: TENANT, stream, event_id: SUBJECT, path: "given" };
    let name = subject.seal(&place, b"Ada").unwrap();

    let over = first().with_next().unwrap().taken_over().unwrap();
    let again = key(&over).rewrap(TENANT, SUBJECT, &wrapped).unwrap();
    let last = key(&over.without_older());
    assert_eq!(last.unwrap(TENANT, SUBJECT, &again).unwrap().open(&place, &name).unwrap(), b"Ada");
    assert!(last.unwrap(TENANT, SUBJECT, &wrapped).is_err());
    assert!(last.unwrap(TENANT, Uuid::from_u128(8), &again).is_err(), "it is bound to its subject");
}

#[test]
fn hashes_and_signatures_outlive_the_first_key() {
    let of = |master: &MasterKey| {
        (
            master.index(TENANT, IndexOf::Email, b"ada@example.org"),
            *master.pepper(),
            master.journal_mac(b"a line"),
            master.fingerprint(b"a request"),
        )
    };
    let ring = first().with_next().unwrap().taken_over().unwrap().without_older();
    let twice = reread(&ring).with_next().unwrap().taken_over().unwrap().without_older();
    assert_eq!(of(&key(&first())), of(&key(&twice)));
    assert_ne!(key(&ring).seals_as(), key(&twice).seals_as());
}

#[test]
fn a_step_out_of_turn_is_refused() {
    assert!(matches!(first().taken_over(), Err(KeyError::Ring)));
    assert!(matches!(first().with_next().unwrap().with_next(), Err(KeyError::Ring)));
}

#[test]
fn a_file_that_is_no_ring_is_refused() {
    let good = first().with_next().unwrap().text().expose_secret().to_owned();
    let without = |what: &str| good.lines().filter(|it| !it.starts_with(what)).collect::<Vec<_>>().join("\n");
    let first_line = good.lines().next().unwrap();
    for bad in [
        String::new(),
        without("seal"),
        without("hash"),
        format!("{good}{first_line}"),
        good.replace("next", "neXt"),
        good.replace("hash ", "open "),
        good.replacen("seal ", "seal AA", 1),
    ] {
        let read = MasterFile::read(&SecretSlice::from(bad.clone().into_bytes()));
        assert!(matches!(read, Err(KeyError::MasterKey)), "{bad}");
    }
}

#[test]
fn a_name_is_part_of_what_must_not_be_changed() {
    let master = key(&first().with_next().unwrap());
    let sealed = master.seal_cell(&CELL, b"seed").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(master.open_cell(&CELL, &changed).is_err(), "byte {at}");
    }
}
