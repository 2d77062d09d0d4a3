//! Tests of passwords: what is kept, what may be one, and that the threads bear any number of callers.

use futures_util::future::join_all;
use secrecy::SecretSlice;

use super::hash::Argon;
use super::rules::{Demands, Weakness, judge};
use super::*;

fn master() -> MasterKey {
    MasterKey::new(&SecretSlice::from(vec![7; 32])).unwrap()
}

fn stored(hashed: &Hashed) -> StoredPassword {
    StoredPassword { version: 1, phc: hashed.phc.clone(), pepper: hashed.pepper }
}

fn argon() -> Argon {
    Argon::new(&HashConfig::default(), &master()).unwrap()
}

fn demands() -> Demands {
    let words = ["ann", "smith", "acme", "Acme Rockets"].map(str::to_owned).to_vec();
    Demands { length_min: 15, score_min: 3, kinds_min: 0, words }
}

#[test]
fn what_is_kept_is_argon2id_in_the_phc_format() {
    let hashed = argon().make("correct horse battery").unwrap();
    let phc = hashed.phc.clone();
    assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    assert_eq!(hashed.pepper, 1);
    assert_ne!(phc, argon().make("correct horse battery").unwrap().phc, "the salt is fresh");
}

#[test]
fn the_right_password_is_right_and_no_other() {
    let mut argon = argon();
    let kept = stored(&argon.make("correct horse battery").unwrap());
    assert!(matches!(
        argon.check("correct horse battery", Some(&kept)),
        Ok(Checked::Right { renewed: None })
    ));
    for wrong in ["", "correct horse batter", "correct horse battery ", "Correct horse battery"] {
        assert!(matches!(argon.check(wrong, Some(&kept)), Ok(Checked::Wrong)), "{wrong}");
    }
}

#[test]
fn ghsa_8fxq_the_stand_in_is_nobodys_password() {
    // The worst case: a stand-in whose password somebody knows. Made as a person's own it would be right.
    let mut argon = argon();
    let known = stored(&argon.make("hunter2").unwrap());
    assert!(matches!(argon.check("hunter2", Some(&known)), Ok(Checked::Right { .. })));
    argon.stand_in_for_tests(known);
    assert!(matches!(argon.check("hunter2", None), Ok(Checked::Wrong)));
}

#[test]
fn a_password_kept_at_a_lower_cost_is_renewed() {
    let mut cheap = argon();
    let kept = stored(&cheap.make("correct horse battery").unwrap());
    let config = HashConfig { hash_passes: 3, ..HashConfig::default() };
    let mut dear = Argon::new(&config, &master()).unwrap();
    let Ok(Checked::Right { renewed: Some(renewed) }) = dear.check("correct horse battery", Some(&kept))
    else {
        panic!("not renewed");
    };
    assert!(renewed.phc.contains("t=3"));
    assert!(matches!(dear.check("wrong", Some(&kept)), Ok(Checked::Wrong)));
    // And one that was kept at a higher cost than today's stays as it is.
    assert!(matches!(
        cheap.check("correct horse battery", Some(&stored(&renewed))),
        Ok(Checked::Right { renewed: None })
    ));
}

#[test]
fn without_the_pepper_a_stolen_hash_says_nothing() {
    let kept = stored(&argon().make("correct horse battery").unwrap());
    let other = MasterKey::new(&SecretSlice::from(vec![8; 32])).unwrap();
    let mut elsewhere = Argon::new(&HashConfig::default(), &other).unwrap();
    assert!(matches!(elsewhere.check("correct horse battery", Some(&kept)), Ok(Checked::Wrong)));
}

#[test]
fn what_is_not_ours_is_a_fault() {
    let mut argon = argon();
    let kept = stored(&argon.make("correct horse battery").unwrap());
    let with = |phc: String| StoredPassword { version: 1, phc, pepper: kept.pepper };
    for phc in [
        String::new(),
        "plain".to_owned(),
        kept.phc.replace("argon2id", "argon2i"),
        kept.phc.replace("v=19", "v=16"),
        kept.phc.replace("m=19456", "m=4000000"),
        kept.phc.rsplit_once('$').unwrap().0.to_owned(),
    ] {
        assert!(
            matches!(argon.check("correct horse battery", Some(&with(phc.clone()))), Err(HashError::Fault)),
            "{phc}"
        );
    }
    let unknown = StoredPassword { version: 1, phc: kept.phc.clone(), pepper: 2 };
    assert!(matches!(argon.check("correct horse battery", Some(&unknown)), Err(HashError::Fault)));
}

#[test]
fn a_password_is_one_however_it_is_composed() {
    assert_eq!(Password::new("re\u{301}sume\u{301} \u{212A}").text(), Password::new("résumé K").text());
    assert!(!format!("{:?}", Password::new("secret")).contains("secret"));
}

#[test]
fn rules_name_everything_that_is_wrong() {
    use Weakness as W;
    let list = Blocklist::default();
    let judged = |password: &str| judge(password, &demands(), &list);
    assert_eq!(judged("jade-umpire-quartz-lagoon"), []);
    assert_eq!(judged("ein ganz anderer Föhn im Mai"), []);
    // Code points are counted, not bytes: fourteen of them.
    assert_eq!(judged("žluťoučkýkůňúp")[0], W::Short(15));
    assert_eq!(judged(&"jade-umpire ".repeat(11)), [W::Long]);
    assert!(judged("qwertyuiopasdfghjkl").contains(&W::Common));
    assert!(judged("AcmeSmithAcmeSmith1").contains(&W::Personal));
    assert!(judged("Smith-Acme-2026!").contains(&W::Personal));
    assert!(judged("smith@acme.example").contains(&W::Personal), "signs between the words are nothing");
    assert!(matches!(judged("aaaaaaaaaaaaaaaaaaaa").last(), Some(W::Guessable(Some(_)))));
    assert!(matches!(judged("abcdefghijklmnopqrs").last(), Some(W::Guessable(_))));
    assert!(judged("short").len() > 1, "all reasons are named, not the first alone");
    assert_eq!(judged(&"é".repeat(128)).iter().filter(|it| matches!(it, W::Long)).count(), 0);
}

#[test]
fn kinds_of_characters_are_asked_for_by_policy_alone() {
    let list = Blocklist::default();
    let strict = Demands { kinds_min: 4, ..demands() };
    assert_eq!(judge("jade umpire quartz lagoon", &demands(), &list), []);
    assert_eq!(judge("jade umpire quartz lagoon", &strict, &list), [Weakness::Kinds(4)]);
    assert_eq!(judge("Jade umpire quartz lagoon 7", &strict, &list), []);
}

#[test]
fn a_word_inside_a_long_password_is_no_fault() {
    assert_eq!(judge("smith-jade-umpire-quartz", &demands(), &Blocklist::default()), []);
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let config = HashConfig { hash_threads: Some(1), hash_queue: 2, ..HashConfig::default() };
    let passwords = Passwords::start(&config, &master()).unwrap();
    // The only thread is busy until `release`, so what is asked meanwhile is either queued or refused.
    let (begun, busy) = oneshot::channel();
    let (release, released) = sync_channel(1);
    let first = tokio::spawn({
        let passwords = passwords.clone();
        async move {
            let work = move |_: &mut Argon| begun.send(()).is_ok() && released.recv().is_ok();
            passwords.run(work).await
        }
    });
    busy.await.unwrap();
    let asked = (0..40).map(|_| passwords.check(Password::new("anything"), None));
    let (answers, sent) = tokio::join!(biased; join_all(asked), async { release.send(()) });
    sent.unwrap();
    let refused = answers.iter().filter(|it| matches!(it, Err(HashError::Overloaded))).count();
    let answered = answers.iter().filter(|it| matches!(it, Ok(Checked::Wrong))).count();
    assert_eq!((answered, refused), (2, 38));
    assert!(first.await.unwrap().unwrap());
    assert_eq!(passwords.figures.queue.get(), 0);
    // And afterwards it works as before.
    assert!(matches!(passwords.check(Password::new("x"), None).await, Ok(Checked::Wrong)));
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_thread() {
    let config = HashConfig { hash_threads: Some(1), ..HashConfig::default() };
    let passwords = Passwords::start(&config, &master()).unwrap();
    let broken = passwords.run(|_| panic!("on purpose")).await;
    assert!(matches!(broken, Err::<(), _>(HashError::Fault)));
    let accepted = passwords.accept(Password::new("jade-umpire-quartz-lagoon"), demands()).await;
    assert!(matches!(accepted, Ok(Accepted::Yes(_))));
    let refused = passwords.accept(Password::new("password"), demands()).await;
    assert!(matches!(refused, Ok(Accepted::No(_))));
}
