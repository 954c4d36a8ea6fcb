//! What `protoc` says about bytes: the reader that has nothing of ours but the `.proto` files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/proto/plaudit/v1");

/// The text of `protoc --decode`; `message` is a name of the package plaudit.v1.
pub fn decode(file: &str, message: &str, bytes: &[u8]) -> Result<String> {
    let mut protoc = Command::new("protoc")
        .args([&format!("--decode=plaudit.v1.{message}"), &format!("--proto_path={FOLDER}"), file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run protoc (package protobuf-compiler)")?;
    protoc.stdin.take().context("no pipe")?.write_all(bytes)?;
    let output = protoc.wait_with_output()?;
    ensure!(output.status.success(), "protoc refuses the bytes");
    Ok(String::from_utf8(output.stdout)?)
}

/// Names of all fields that a `.proto` file declares.
pub fn fields(file: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(FOLDER).join(file)).context(FOLDER)?;
    let field = |line: &str| {
        let (declaration, number) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        number.parse::<u32>().ok()?;
        Some(declaration.rsplit(' ').next()?.to_owned())
    };
    Ok(text.lines().filter_map(field).collect())
}
