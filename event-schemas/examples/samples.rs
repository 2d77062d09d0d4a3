//! Writes the samples that are missing: `cargo run -p event-schemas --example samples`.
//!
//! A sample that is there is never written again: it stands for what is stored.

use std::path::Path;

use event_schemas::{document, encode};

#[path = "../tests/contract/story.rs"]
mod story;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for event in story::told()? {
        let encoded = encode(&event)?;
        let path = folder.join(document::file_name(encoded.event_type, encoded.schema_version));
        if !path.exists() {
            std::fs::write(path, document::sample(&event)?)?;
        }
    }
    Ok(())
}
