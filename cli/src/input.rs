//! Text from files.

use crate::failure::Failure;
use std::fs;
use std::path::Path;

/// Returns the text of a file. Text that is not UTF-8 is an error with its line.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::read(path, &error))?;
    utf8(bytes)
        .map_err(|(line, message)| Failure::new(format!("{}:{line}: {message}", path.display())))
}

/// Decodes `bytes`, without the byte order mark that some editors write, or returns the line that
/// is not UTF-8 and an error message.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String, (usize, &'static str)> {
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => text.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let lines = text
            .unwrap_or_default()
            .iter()
            .filter(|&&byte| byte == b'\n');
        (lines.count() + 1, "the text is not UTF-8")
    })
}
