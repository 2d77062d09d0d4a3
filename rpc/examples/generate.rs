//! Makes the code of the protocol anew: `cargo run -p rpc --example generate`. Its test compares what is checked in.
//!
//! The compiler of protocols is a crate, so nothing has to be installed; and the result is checked in, so no build of the
//! product runs it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use tonic_prost_build::Builder;

const FILES: &[&str] = &["quipu/auth/v1/auth.proto"];
/// What is generated is in one file a package; its name follows from the package's.
const PACKAGE: &str = "quipu.auth.v1";
/// Where messages are, as seen from the code of the service.
const MESSAGES: &str = "crate::messages";
/// Messages that hold a secret: none of them can be shown whole by accident (`lib.rs` says what is shown).
const SECRET: &[&str] = &[
    ".quipu.auth.v1.SignUpRequest",
    ".quipu.auth.v1.LoginRequest",
    ".quipu.auth.v1.LoginResponse",
    ".quipu.auth.v1.ResetPasswordRequest",
    ".quipu.auth.v1.ValidateTokenRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    for (name, bytes) in generated()? {
        std::fs::write(sources().join(name), bytes)?;
    }
    Ok(())
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every generated file of `src`, by name.
fn generated() -> Result<BTreeMap<&'static str, Vec<u8>>, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let with_comments = compiler.file_descriptor_set();
    let messages = builder().build_client(false).build_server(false);
    let service = || builder().extern_path(format!(".{PACKAGE}"), MESSAGES);
    let code = [
        ("messages.rs", "Messages", SECRET.iter().fold(messages, |it, path| it.skip_debug([*path]))),
        ("server.rs", "Servers", service().build_client(false)),
        ("client.rs", "Clients", service().build_server(false)),
    ];
    // Those who ask the server itself for the protocol get it without comments.
    let bare = compiler.include_source_info(false).encode_file_descriptor_set();
    let mut files = BTreeMap::from([("descriptors.bin", bare)]);
    for (name, what, builder) in code {
        let folder = tempfile::tempdir()?;
        builder.out_dir(folder.path()).compile_fds(with_comments.clone())?;
        let text = std::fs::read_to_string(folder.path().join(format!("{PACKAGE}.rs")))?;
        let head = format!(
            "//! {what} of the protocol. Made by `cargo run -p rpc --example generate`; not edited.\n\n"
        );
        files.insert(name, (head + &text).into_bytes());
    }
    Ok(files)
}

fn builder() -> Builder {
    tonic_prost_build::configure().build_transport(false).emit_rerun_if_changed(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_what_the_protocol_says() {
        for (name, bytes) in generated().unwrap() {
            let there = std::fs::read(sources().join(name)).unwrap();
            assert!(there == bytes, "{name}: run `cargo run -p rpc --example generate`");
        }
    }
}
