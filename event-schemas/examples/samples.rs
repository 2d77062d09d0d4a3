//! Adds the samples that are missing: `cargo run -p event-schemas --example samples`.
//!
//! A sample that is there is never written again: it stands for what is stored. What the story and its edges tell beyond
//! it is added under the next number.

use std::path::Path;

use event_schemas::{document, encode};

#[path = "../tests/contract/edges.rs"]
mod edges;
#[path = "../tests/contract/story.rs"]
mod story;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for event in story::told()?.iter().chain(&edges::told()?) {
        let (encoded, sample) = (encode(event)?, document::sample(event)?);
        for number in 1.. {
            let name = document::sample_name(encoded.event_type, encoded.schema_version, number);
            match std::fs::read_to_string(folder.join(&name)) {
                Ok(there) if there == sample => break,
                Ok(_) => {}
                Err(_) => {
                    std::fs::write(folder.join(name), sample)?;
                    break;
                }
            }
        }
    }
    Ok(())
}
