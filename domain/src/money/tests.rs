//! The facts measured of currencies and decimals, and the arithmetic of amounts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde::Deserialize as _;
use serde::de::value::{BytesDeserializer, Error as ValueError};

use super::*;
use crate::error::{DomainError, ErrorKind};

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn usd(amount: &str) -> Money {
    Money::parse(amount, currency("USD")).unwrap()
}

fn parse(amount: &str, code: &str) -> Result<String, MoneyError> {
    Money::parse(amount, currency(code)).map(|money| money.amount().to_string())
}

fn from_json(json: &str) -> Result<Money, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn all_currencies() -> Vec<Currency> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|a| {
        letters().flat_map(move |b| letters().map(move |c| String::from_utf8(vec![a, b, c]).unwrap()))
    });
    codes.filter_map(|code| Currency::parse(&code).ok()).collect()
}

#[test]
fn exponents_are_those_of_iso_4217() {
    let with = |exponent: u32| -> Vec<&str> {
        all_currencies().into_iter().filter(|it| it.exponent() == exponent).map(Currency::code).collect()
    };
    let none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    assert_eq!(with(0), none.split(' ').collect::<Vec<_>>());
    assert_eq!(with(3), ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]);
    assert_eq!(with(4), ["CLF", "UYW"]);
    assert_eq!(with(2).len(), 139);
    assert_eq!(all_currencies().len(), 17 + 7 + 2 + 139);
    assert_eq!((currency("MGA").exponent(), currency("IRR").exponent()), (2, 2));
}

#[test]
fn entries_without_minor_units_are_not_currencies() {
    for code in ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"] {
        assert_eq!(Currency::parse(code), Err(MoneyError::CurrencyUnknown), "{code}");
    }
}

#[test]
fn unknown_and_withdrawn_codes_are_not_currencies() {
    for code in ["", "US", "usd", "USDX", "ABC", "DEM", "HRK", "BGN", "ZWL", "U\u{15c}D"] {
        assert_eq!(Currency::parse(code), Err(MoneyError::CurrencyUnknown), "{code}");
    }
}

#[test]
fn amounts_are_written_with_exactly_the_digits_of_their_currency() {
    for (given, code, written) in [
        ("0", "USD", "0.00"),
        ("5", "USD", "5.00"),
        ("5.1", "USD", "5.10"),
        ("12.34", "USD", "12.34"),
        ("5", "JPY", "5"),
        ("0.001", "OMR", "0.001"),
        ("12.345", "KWD", "12.345"),
        ("1.5", "CLF", "1.5000"),
        ("999999999999999.99", "USD", "999999999999999.99"),
        ("999999999999999.9999", "UYW", "999999999999999.9999"),
    ] {
        assert_eq!(parse(given, code).as_deref(), Ok(written), "{given} {code}");
    }
}

#[test]
fn what_the_library_would_take_but_the_grammar_does_not_is_malformed() {
    for text in [
        "",
        " ",
        ".",
        "1e3",
        "1E3",
        "1_000.5",
        ".5",
        "5.",
        "+5",
        "-5",
        "-0",
        "05",
        "00",
        "1,000",
        "1.2.3",
        " 5",
        "5 ",
        "0x5",
        "NaN",
        "Infinity",
        "\u{665}",
        "1.\u{665}",
        "5.0\n",
        "--5",
        "1.-5",
    ] {
        assert_eq!(parse(text, "USD"), Err(MoneyError::Malformed), "{text:?}");
    }
}

#[test]
fn more_digits_than_the_currency_has_are_refused_and_not_rounded() {
    for (text, code, digits) in [
        ("1.005", "USD", 3),
        ("5.0", "JPY", 1),
        ("12.3456", "KWD", 4),
        ("0.00001", "CLF", 5),
        ("1.000", "EUR", 3),
    ] {
        let refused = MoneyError::Precision { digits, currency: currency(code) };
        assert_eq!(parse(text, code), Err(refused), "{text} {code}");
    }
}

#[test]
fn sixteen_digits_before_the_point_are_out_of_range() {
    for text in ["1000000000000000", "12345678901234567.89", &"9".repeat(40)] {
        assert_eq!(parse(text, "USD"), Err(MoneyError::OutOfRange), "{text}");
    }
}

#[test]
fn json_is_text_in_both_directions() {
    let money = from_json(r#"{"amount":"12.3","currency":"USD"}"#).unwrap();
    assert_eq!(serde_json::to_string(&money).unwrap(), r#"{"amount":"12.30","currency":"USD"}"#);
    assert_eq!(from_json(r#"{"currency":"USD","amount":"12.30"}"#), Ok(money));
}

#[test]
fn json_refusals_name_their_code_first() {
    for (json, code) in [
        (r#"{"amount":12345678901234567.89,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":5,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":-5,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":99999999999999999999999999,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":null,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":true,"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":["5"],"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":{"a":"5"},"currency":"USD"}"#, "money.amount-must-be-string"),
        (r#"{"amount":"1e3","currency":"USD"}"#, "money.amount-malformed"),
        (r#"{"amount":"1.005","currency":"USD"}"#, "money.amount-precision"),
        (r#"{"amount":"1000000000000000","currency":"USD"}"#, "money.amount-out-of-range"),
        (r#"{"amount":"1","currency":"XAU"}"#, "money.currency-unknown"),
    ] {
        let error = from_json(json).unwrap_err();
        assert!(error.starts_with(&format!("[{code}] ")), "{json}: {error}");
        assert!(PARSE_CODES.iter().any(|(known, _)| *known == code), "{code} has a kind");
    }
    assert!(
        from_json(r#"{"amount":"1","currency":"USD","note":"x"}"#).unwrap_err().contains("unknown field")
    );
    let precise = from_json(r#"{"amount":"1.005","currency":"USD"}"#).unwrap_err();
    assert!(precise.starts_with("[money.amount-precision] amount has 3 fraction digits; USD takes 2"));
}

#[test]
fn the_table_of_parse_codes_agrees_with_the_errors() {
    let usd = currency("USD");
    let errors = [
        MoneyError::MustBeString,
        MoneyError::Malformed,
        MoneyError::Precision { digits: 3, currency: usd },
        MoneyError::OutOfRange,
        MoneyError::CurrencyUnknown,
    ];
    for error in errors {
        assert!(PARSE_CODES.contains(&(error.code(), error.kind())), "{error}");
    }
    assert_eq!(MoneyError::MustBeString.kind(), ErrorKind::Invalid);
}

#[test]
fn refusals_tell_their_figures() {
    let precision = MoneyError::Precision { digits: 3, currency: currency("USD") };
    let told = [("currency", "USD"), ("fraction_digits", "3"), ("fraction_digits_max", "2")];
    assert_eq!(precision.details(), BTreeMap::from(told.map(|(name, figure)| (name, figure.to_owned()))));
    let mismatch = MoneyError::CurrencyMismatch { left: currency("USD"), right: currency("EUR") };
    let told = [("left", "USD"), ("right", "EUR")];
    assert_eq!(mismatch.details(), BTreeMap::from(told.map(|(name, figure)| (name, figure.to_owned()))));
}

#[test]
fn people_are_shown_what_is_on_the_wire() {
    let dollars = usd("1.5");
    assert_eq!((dollars.to_string(), format!("{dollars:?}")), ("1.50 USD".into(), "1.50 USD".into()));
    let figure = Balance::parse("-1.50").unwrap();
    assert_eq!((figure.to_string(), format!("{figure:?}")), ("-1.50".into(), "-1.50".into()));
    let code = "USD".parse::<Currency>().unwrap();
    assert_eq!((code.to_string(), format!("{code:?}")), ("USD".into(), "USD".into()));
    assert_eq!(Balance::zero(currency("KWD")).to_string(), "0.000");
}

#[test]
fn a_form_without_text_is_told_what_is_expected() {
    let error = Balance::deserialize(BytesDeserializer::<ValueError>::new(b"5")).unwrap_err();
    assert_eq!(error.to_string(), "invalid type: byte array, expected an amount as a string");
}

#[test]
fn sums_and_differences_stay_within_one_currency_and_range() {
    let (euro, most) = (Money::parse("1", currency("EUR")).unwrap(), usd("999999999999999.99"));
    let mismatch = MoneyError::CurrencyMismatch { left: currency("USD"), right: currency("EUR") };
    assert_eq!(usd("1").checked_add(usd("0.05")), Ok(usd("1.05")));
    assert_eq!(usd("1").checked_sub(usd("0.05")), Ok(usd("0.95")));
    assert_eq!(usd("1").checked_sub(usd("1")), Ok(usd("0")));
    assert_eq!(usd("1").checked_sub(usd("1.01")), Err(MoneyError::OutOfRange));
    assert_eq!(most.checked_add(usd("0.01")), Err(MoneyError::OutOfRange));
    assert_eq!(usd("1").checked_add(euro), Err(mismatch.clone()));
    assert_eq!(usd("1").checked_sub(euro), Err(mismatch));
}

#[test]
fn balances_are_signed_text_within_ten_to_the_twenty_second() {
    for text in ["0", "-0.5", "12.30", "10000000000000000000000", "-9999999999999999999999.9999"] {
        let balance = Balance::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&balance).unwrap(), format!("{text:?}"));
        assert_eq!(serde_json::from_str::<Balance>(&format!("{text:?}")).unwrap(), balance);
    }
    assert_eq!(Balance::MAX.to_string(), "10000000000000000000000");
    for text in ["10000000000000000000000.0001", "-10000000000000000000001", "100000000000000000000000"] {
        assert_eq!(Balance::parse(text), Err(MoneyError::OutOfRange), "{text}");
    }
    for text in ["", "-", "--1", "+1", "1.23456", "-01", "1."] {
        assert_eq!(Balance::parse(text), Err(MoneyError::Malformed), "{text}");
    }
    assert_eq!(Balance::parse("-0.00").unwrap().to_string(), "0.00");
    assert!(
        serde_json::from_str::<Balance>("5").unwrap_err().to_string().starts_with("[money.amount-must-be")
    );
}

#[test]
fn a_sum_of_balances_beyond_the_range_is_refused_and_never_rounded() {
    let most = Balance::checked(Balance::MAX).unwrap();
    let least = Balance::parse("0.0001").unwrap();
    assert_eq!(most.checked_add(least), Err(MoneyError::OutOfRange));
    assert_eq!(most.checked_sub(least).unwrap().to_string(), "9999999999999999999999.9999");
    assert_eq!(most.checked_add(most), Err(MoneyError::OutOfRange));
    assert_eq!(Balance::checked(Decimal::new(1, 5)), Err(MoneyError::OutOfRange));
}

#[test]
fn limits_are_null_or_a_figure() {
    assert_eq!(serde_json::from_str::<Limit>("null").unwrap(), Limit::Unbounded);
    assert_eq!(serde_json::from_str::<Limit>(r#""-5""#).unwrap(), Limit::At(Balance::parse("-5").unwrap()));
    assert_eq!(serde_json::to_string(&Limit::Unbounded).unwrap(), "null");
    let dollars = Limit::At(Balance::parse("-5").unwrap()).in_currency(currency("USD")).unwrap();
    assert_eq!(serde_json::to_string(&dollars).unwrap(), r#""-5.00""#);
    let yen = Limit::At(Balance::parse("0.5").unwrap()).in_currency(currency("JPY"));
    assert_eq!(yen, Err(MoneyError::Precision { digits: 1, currency: currency("JPY") }));
}

#[test]
fn halves_go_where_the_policy_says() {
    let round = |policy: RoundingPolicy, text: &str, code: &str| {
        policy.round(text.parse::<Decimal>().unwrap(), currency(code)).map(|money| money.amount().to_string())
    };
    for (text, code, even, up) in [
        ("1.005", "USD", "1.00", "1.01"),
        ("0.135", "USD", "0.14", "0.14"),
        ("0.125", "USD", "0.12", "0.13"),
        ("0.5", "JPY", "0", "1"),
        ("1.5", "JPY", "2", "2"),
        ("1.00449999999999", "USD", "1.00", "1.00"),
        ("12.3455", "KWD", "12.346", "12.346"),
    ] {
        assert_eq!(round(RoundingPolicy::HalfEven, text, code).as_deref(), Ok(even), "{text}");
        assert_eq!(round(RoundingPolicy::HalfUp, text, code).as_deref(), Ok(up), "{text}");
    }
    assert_eq!(RoundingPolicy::default(), RoundingPolicy::HalfEven);
    assert_eq!(serde_json::to_string(&RoundingPolicy::HalfUp).unwrap(), r#""half_up""#);
    assert_eq!(round(RoundingPolicy::HalfUp, "-1", "USD"), Err(MoneyError::OutOfRange));
}

#[test]
fn a_split_gives_what_is_left_to_the_largest_remainders_in_order() {
    let split = |whole: &str, weights: &[i64]| -> Vec<String> {
        let weights: Vec<_> = weights.iter().map(|weight| Decimal::from(*weight)).collect();
        usd(whole).split(&weights).unwrap().iter().map(|part| part.amount().to_string()).collect()
    };
    assert_eq!(split("1.00", &[1, 1, 1]), ["0.34", "0.33", "0.33"]);
    assert_eq!(split("0.02", &[1, 1, 1]), ["0.01", "0.01", "0.00"]);
    assert_eq!(split("1.00", &[0, 1]), ["0.00", "1.00"]);
    assert_eq!(split("0.10", &[1, 2, 4]), ["0.01", "0.03", "0.06"]);
    assert_eq!(split("0.00", &[3, 5]), ["0.00", "0.00"]);
}

#[test]
fn weights_may_have_different_digits() {
    let weights = ["0.5", "1", "0.25"].map(|weight| weight.parse::<Decimal>().unwrap());
    assert_eq!(usd("7").split(&weights), Ok(vec![usd("2"), usd("4"), usd("1")]));
}

#[test]
fn a_split_without_a_positive_weight_is_refused() {
    for weights in [vec![], vec![Decimal::ZERO], vec![Decimal::ONE, -Decimal::ONE]] {
        assert_eq!(usd("1").split(&weights), Err(MoneyError::CannotSplit));
    }
}

/// Constants of the library that the rules above rest on; a new release that changes them must be looked at.
#[test]
fn the_decimal_library_behaves_as_measured() {
    for lax in ["1_000.5", ".5", "5.", "+5"] {
        assert!(lax.parse::<Decimal>().is_ok(), "{lax}");
    }
    assert_eq!(Decimal::MAX.checked_add(Decimal::new(4, 1)), Some(Decimal::MAX), "rounds silently");
    assert!(Decimal::from_str_exact(&"1".repeat(40)).is_err());
    assert_eq!(Decimal::new(10, 1), Decimal::new(100, 2));
    assert_ne!(Decimal::new(10, 1).to_string(), Decimal::new(100, 2).to_string());
}

fn any_currency() -> impl Strategy<Value = Currency> {
    proptest::sample::select(vec!["JPY", "USD", "KWD", "CLF"]).prop_map(currency)
}

fn any_minor() -> impl Strategy<Value = u128> {
    prop_oneof![0..1000_u128, 0..1_000_000_000_000_000_u128]
}

proptest! {
    #[test]
    fn text_and_back_changes_nothing(code in any_currency(), minor in any_minor()) {
        let money = Money::from_minor(minor, code).unwrap();
        prop_assert_eq!(money.amount().scale(), code.exponent());
        prop_assert_eq!(money.minor(), minor);
        prop_assert_eq!(Money::parse(&money.amount().to_string(), code), Ok(money));
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(from_json(&json), Ok(money));
    }

    #[test]
    fn no_operation_changes_a_value_silently(code in any_currency(), a in any_minor(), b in any_minor()) {
        let (one, other) = (Money::from_minor(a, code).unwrap(), Money::from_minor(b, code).unwrap());
        if let Ok(sum) = one.checked_add(other) {
            prop_assert_eq!(sum.minor(), a + b);
        }
        prop_assert_eq!(one.checked_sub(other).ok().map(|it| it.minor()), a.checked_sub(b));
        let delta = Balance::from(one).checked_sub(other.into()).unwrap();
        prop_assert_eq!(delta.decimal().mantissa(), i128::try_from(a).unwrap() - i128::try_from(b).unwrap());
    }

    #[test]
    fn parts_add_up_and_each_is_within_one_unit(
        code in any_currency(),
        whole in any_minor(),
        weights in proptest::collection::vec(any_minor(), 1..12),
    ) {
        let total: u128 = weights.iter().sum();
        prop_assume!(total > 0);
        let money = Money::from_minor(whole, code).unwrap();
        let decimals: Vec<_> =
            weights.iter().map(|it| Money::from_minor(*it, code).unwrap().amount()).collect();
        let parts = money.split(&decimals).unwrap();
        prop_assert_eq!(parts.iter().map(Money::minor).sum::<u128>(), whole);
        for (part, weight) in parts.iter().zip(&weights) {
            let floor = whole * weight / total;
            prop_assert!(part.minor() == floor || (part.minor() == floor + 1 && whole * weight % total > 0));
        }
    }

    #[test]
    fn any_text_is_taken_as_it_stands_or_refused(text in "[-+0-9.eE_, ]{0,20}", code in any_currency()) {
        if let Ok(money) = Money::parse(&text, code) {
            let padded = Decimal::from_str_exact(&text).unwrap();
            prop_assert_eq!(money.amount(), padded);
        }
    }
}
