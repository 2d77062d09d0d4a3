//! The file of baskets and what each means in the ledger.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// One basket. Money is in whole cents.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Basket {
    #[serde(rename = "basket")]
    pub(super) number: u64,
    pub(super) store: u32,
    at: DateTime<Utc>,
    sales_cents: u64,
    retail_discount_cents: u64,
}

/// Reads a CSV file, gzipped or not.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Basket>> {
    let mut reader = BufReader::new(File::open(file)?);
    let gzipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let text: Box<dyn Read> = if gzipped { Box::new(GzDecoder::new(reader)) } else { Box::new(reader) };
    Ok(csv::Reader::from_reader(text).into_deserialize().collect::<Result<_, _>>()?)
}

/// The accounts that each store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Book {
    Cash,
    Discounts,
    Revenue,
}

impl Book {
    pub(super) const ALL: [Self; 3] = [Self::Cash, Self::Discounts, Self::Revenue];

    const fn name(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Discounts => "discounts",
            Self::Revenue => "revenue",
        }
    }

    const fn normal_side(self) -> &'static str {
        match self {
            Self::Cash | Self::Discounts => "debit",
            Self::Revenue => "credit",
        }
    }

    /// The account's name for people.
    pub(super) fn account(self, store: u32) -> String {
        format!("{}:store-{store}", self.name())
    }

    fn account_id(self, store: u32) -> Uuid {
        derived(&format!("account:{}", self.account(store)))
    }

    /// The request that opens it.
    pub(super) fn opening(self, store: u32) -> Value {
        json!({
            "id": self.account_id(store),
            "name": self.account(store),
            "currency": "USD",
            "normal_side": self.normal_side(),
        })
    }

    fn leg(self, store: u32, cents: u64) -> Option<Value> {
        (cents > 0).then(|| {
            json!({
                "account_id": self.account_id(store),
                "side": self.normal_side(),
                "amount": { "amount": dollars(cents), "currency": "USD" },
            })
        })
    }
}

impl Basket {
    const fn credit(&self) -> u64 {
        self.sales_cents + self.retail_discount_cents
    }

    /// Whether anything moved.
    pub(super) const fn has_legs(&self) -> bool {
        self.credit() > 0
    }

    const fn cents(&self, book: Book) -> u64 {
        match book {
            Book::Cash => self.sales_cents,
            Book::Discounts => self.retail_discount_cents,
            Book::Revenue => self.credit(),
        }
    }

    /// The request that posts it.
    pub(super) fn transfer(&self) -> Value {
        let legs: Vec<Value> =
            Book::ALL.iter().filter_map(|book| book.leg(self.store, self.cents(*book))).collect();
        json!({
            "id": derived(&format!("basket:{}", self.number)),
            "legs": legs,
            "effective_at": self.at,
            "code": "basket",
            "metadata": { "basket": self.number.to_string() },
        })
    }
}

/// The sums of a file, per store and in all, in cents.
#[derive(Debug, Default)]
pub(super) struct Totals {
    stores: BTreeMap<(Book, u32), u64>,
}

impl Totals {
    pub(super) fn of(baskets: &[Basket]) -> Self {
        let mut totals = Self::default();
        for basket in baskets {
            for book in Book::ALL {
                *totals.stores.entry((book, basket.store)).or_default() += basket.cents(book);
            }
        }
        totals
    }

    /// Every account's name and balance.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (String, String)> {
        self.stores.iter().map(|((book, store), cents)| (book.account(*store), dollars(*cents)))
    }

    fn sum(&self, wanted: Book) -> u64 {
        self.stores.iter().filter(|((book, _), _)| *book == wanted).map(|(_, cents)| cents).sum()
    }

    pub(super) fn for_people(&self) -> String {
        let sums = Book::ALL.map(|book| format!("{} {}", book.name(), dollars(self.sum(book))));
        sums.join(", ")
    }
}

fn dollars(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn derived(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:quipu:demo:grocery:{name}").as_bytes())
}
