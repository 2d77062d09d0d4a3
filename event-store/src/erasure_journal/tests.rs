use std::io::Write as _;

use super::*;

fn master(byte: u8) -> MasterKey {
    MasterKey::new(&vec![byte; 32].into()).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn of(n: u128, further: &[u128]) -> NewErasure {
    let subjects = std::iter::once(n).chain(further.iter().copied()).map(id).collect();
    NewErasure { tenant: TenantId::new(id(1)), person: Some(UserId::new(id(n))), subjects }
}

struct Desk {
    path: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("quipu-journal-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("erasures.jsonl");
        Journal::create(&path).unwrap();
        Self { path }
    }

    fn note(&self, new: &NewErasure) -> Erasure {
        Journal::note(&self.path, &master(1), new).unwrap()
    }

    fn read(&self) -> Result<Journal, JournalError> {
        Journal::read(&self.path, &master(1))
    }

    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.path).unwrap().lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        std::fs::write(&self.path, lines.iter().map(|it| format!("{it}\n")).collect::<String>()).unwrap();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.path.parent().unwrap()).unwrap();
    }
}

#[test]
fn what_is_noted_is_read_and_noting_it_again_is_the_same_erasure() {
    let desk = Desk::new();
    let first = desk.note(&of(10, &[]));
    assert_eq!(desk.note(&of(10, &[])), first, "nothing was added");
    let second = desk.note(&of(20, &[21]));
    let grown = desk.note(&of(10, &[11]));
    assert_eq!((grown.receipt, grown.at), (first.receipt, first.at));
    assert_eq!(grown.subjects, [id(10), id(11)].into());
    assert_eq!(desk.lines().len(), 3);
    let journal = desk.read().unwrap();
    assert_eq!(journal.erasures().collect::<Vec<_>>(), [&grown, &second]);
    assert_eq!(journal.of_subject(TenantId::new(id(1)), id(21)), Some(&second));
    assert_eq!(journal.of_subject(TenantId::new(id(2)), id(21)), None, "another tenant's");
}

#[test]
fn what_is_taken_back_stands_no_more_and_may_be_asked_for_again() {
    let desk = Desk::new();
    let refused = desk.note(&of(10, &[]));
    Journal::withdraw(&desk.path, &master(1), &refused, "organisation.last-owner").unwrap();
    assert_eq!(desk.read().unwrap().erasures().count(), 0);
    assert_ne!(desk.note(&of(10, &[])).receipt, refused.receipt);
}

#[test]
fn no_line_can_be_changed_moved_dropped_or_made_up() {
    let desk = Desk::new();
    for n in 10..13 {
        desk.note(&of(n, &[]));
    }
    let lines = desk.lines();
    let without = |n: usize| lines.iter().enumerate().filter(|it| it.0 != n).map(|it| it.1.clone()).collect();
    let mut swapped = lines.clone();
    swapped.swap(0, 1);
    let twice = lines.iter().chain(&lines[2..]).cloned().collect();
    for (n, broken) in [without(0), without(1), swapped, twice].into_iter().enumerate() {
        let broken: Vec<String> = broken;
        desk.write(&broken);
        assert!(matches!(desk.read(), Err(JournalError::Damaged { .. })), "{n}");
    }
    for at in 0..lines[1].len() {
        let mut bytes = lines[1].clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        desk.write(&[lines[0].clone(), changed, lines[2].clone()]);
        assert!(matches!(desk.read(), Err(JournalError::Damaged { .. })), "byte {at}");
    }
    desk.write(&lines);
    assert!(matches!(Journal::read(&desk.path, &master(2)), Err(JournalError::Damaged { line: 1, .. })));
    assert_eq!(desk.read().unwrap().erasures().count(), 3);
}

#[test]
fn a_line_that_was_never_finished_was_never_acted_on() {
    let desk = Desk::new();
    desk.note(&of(10, &[]));
    let whole = desk.lines();
    let torn = whole[0].clone();
    for cut in [1, torn.len() / 2, torn.len()] {
        desk.write(&whole);
        let mut file = OpenOptions::new().append(true).open(&desk.path).unwrap();
        file.write_all(&torn.as_bytes()[..cut]).unwrap();
        assert_eq!(desk.read().unwrap().erasures().count(), 1, "cut at {cut}");
        desk.note(&of(20, &[]));
        assert_eq!(desk.read().unwrap().erasures().count(), 2, "cut at {cut}");
    }
}

#[test]
fn two_who_note_at_once_follow_each_other() {
    let desk = Desk::new();
    let path = &desk.path;
    std::thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || {
                for m in 0..5 {
                    // Half of them are about the same person.
                    let person = if m % 2 == 0 { 7 } else { 100 + n * 10 + m };
                    Journal::note(path, &master(1), &of(person, &[])).unwrap();
                }
            });
        }
    });
    let journal = desk.read().unwrap();
    assert_eq!(journal.erasures().count(), 8 * 2 + 1);
    assert_eq!(journal.erasures().filter(|it| it.subjects.contains(&id(7))).count(), 1);
}

#[test]
fn a_journal_is_made_once_and_missed_when_it_is_gone() {
    let desk = Desk::new();
    assert!(matches!(Journal::create(&desk.path), Err(JournalError::Exists(_))));
    assert_eq!(desk.read().unwrap().erasures().count(), 0);
    std::fs::remove_file(&desk.path).unwrap();
    assert!(matches!(desk.read(), Err(JournalError::Missing(_))));
    assert!(matches!(Journal::note(&desk.path, &master(1), &of(1, &[])), Err(JournalError::Missing(_))));
    Journal::create(&desk.path).unwrap();
}
