//! What a new password must be (NIST SP 800-63B-4 section 3.1.1.2, OWASP ASVS 5.0 chapter 6.2): long, not common, not made of
//! what everybody knows about its owner, hard to guess. Kinds of characters are asked for only where an organisation's
//! policy says so. Passwords that are there already are never judged by these rules.

use service_kit::problem::code;
use zxcvbn::{Score, zxcvbn};

use super::blocklist::Blocklist;

/// Characters (code points) of a password at most. It is refused then, never cut.
pub const CHARACTERS_MAX: usize = 128;
/// Of a long one only so many characters are looked at for how hard it is to guess.
const GUESSED_MAX: usize = 100;
/// Words about a person of fewer characters are in many passwords by chance.
const WORD_MIN: usize = 4;
/// So many letters and digits must be left of a password without the words about its owner.
const REST_MIN: usize = 8;

/// What is asked of a new password.
#[derive(Debug, Clone)]
pub struct Demands {
    /// Characters at least.
    pub length_min: usize,
    /// How hard it must be to guess, 0 to 4.
    pub score_min: u8,
    /// How many of the four kinds of characters it must have: small letters, large letters, digits, others.
    pub kinds_min: u8,
    /// What everybody knows about its owner: parts of the address, names, the organisation.
    pub words: Vec<String>,
}

/// Why a password is too weak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakness {
    /// It has fewer characters than this.
    Short(usize),
    /// It has more characters than may be.
    Long,
    /// So many have chosen it that it is tried first.
    Common,
    /// Without the words about its owner little is left of it.
    Personal,
    /// It has fewer kinds of characters than this.
    Kinds(u8),
    /// It is quickly guessed; perhaps with what would make it better.
    Guessable(Option<String>),
}

impl Weakness {
    /// Its code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Short(_) => code::PASSWORD_SHORT.code,
            Self::Long => code::PASSWORD_LONG.code,
            Self::Common => code::PASSWORD_COMMON.code,
            Self::Personal => code::PASSWORD_PERSONAL.code,
            Self::Kinds(_) => code::PASSWORD_KINDS.code,
            Self::Guessable(_) => code::PASSWORD_GUESSABLE.code,
        }
    }

    /// One fragment for its owner.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Short(least) => format!("it needs at least {least} characters"),
            Self::Long => format!("it may have {CHARACTERS_MAX} characters at most"),
            Self::Common => "many people use it, so it is tried first".to_owned(),
            Self::Personal => "little is left of it without your name, address or organisation".to_owned(),
            Self::Kinds(least) => {
                format!("it needs {least} of: small letters, large letters, digits, other characters")
            }
            Self::Guessable(None) => "it is quickly guessed; several unrelated words are better".to_owned(),
            Self::Guessable(Some(hint)) => format!("it is quickly guessed: {hint}"),
        }
    }
}

/// Everything that is wrong with a password, in the order of [`Weakness`]; nothing if it is good. Says the same for the same.
#[must_use]
pub fn judge(password: &str, demands: &Demands, blocklist: &Blocklist) -> Vec<Weakness> {
    let length = password.chars().count();
    if length > CHARACTERS_MAX {
        return vec![Weakness::Long];
    }
    let mut found = Vec::new();
    if length < demands.length_min {
        found.push(Weakness::Short(demands.length_min));
    }
    if blocklist.holds(password) {
        found.push(Weakness::Common);
    }
    if is_personal(password, &demands.words) {
        found.push(Weakness::Personal);
    }
    if kinds(password) < demands.kinds_min {
        found.push(Weakness::Kinds(demands.kinds_min));
    }
    let start: String = password.chars().take(GUESSED_MAX).collect();
    let words: Vec<&str> = demands.words.iter().map(String::as_str).collect();
    let guessed = zxcvbn(&start, &words);
    if u8::from(guessed.score()) < demands.score_min {
        let hint = guessed.feedback().and_then(|it| it.warning()).map(|it| it.to_string());
        found.push(Weakness::Guessable(hint));
    }
    found
}

/// Makes the tables of the estimator, which takes as long as several hundred estimates.
pub fn warm() {
    let _score: Score = zxcvbn("", &[]).score();
}

/// Whether little is left of a password without the words.
fn is_personal(password: &str, words: &[String]) -> bool {
    let mut rest = password.to_lowercase();
    let mut words: Vec<String> = words.iter().map(|it| it.to_lowercase()).collect();
    // Long ones first: a name that holds another is taken whole.
    words.sort_by_key(|it| std::cmp::Reverse(it.chars().count()));
    let mut found = false;
    for word in words.iter().filter(|it| it.chars().count() >= WORD_MIN) {
        if rest.contains(word.as_str()) {
            rest = rest.replace(word.as_str(), "");
            found = true;
        }
    }
    found && rest.chars().filter(|it| it.is_alphanumeric()).count() < REST_MIN
}

fn kinds(password: &str) -> u8 {
    let small = password.chars().any(char::is_lowercase);
    let large = password.chars().any(char::is_uppercase);
    let digit = password.chars().any(char::is_numeric);
    let other = password.chars().any(|it| !it.is_lowercase() && !it.is_uppercase() && !it.is_numeric());
    [small, large, digit, other].map(u8::from).iter().sum()
}
