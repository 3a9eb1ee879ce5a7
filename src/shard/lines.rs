//! The lines of a shard's plan, but those of its decisions.

use super::names::NameRef;
use super::shard_plan::Visibility;
use crate::plan;
use crate::program::FunctionName;
use std::fmt::Write as _;

/// The start of the first line, before the version.
pub(super) const MAGIC: &str = "clif-inline shard";
/// The version of the form.
pub(super) const VERSION: &str = "1";

/// Begins the plan of a shard.
pub(super) fn begin(text: &mut String, shard: &str) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(text, "{MAGIC} {VERSION}\nshard {}", quoted(shard));
}

/// Writes the change of a function, which may have the name that it had.
pub(super) fn change(
    text: &mut String,
    visibility: Visibility,
    original: NameRef<'_>,
    new: Option<NameRef<'_>>,
) {
    text.push_str(visibility.keyword());
    text.push(' ');
    push_name(text, original);
    push_new_name(text, original, new);
    text.push('\n');
}

/// Writes that a function elsewhere never throws.
pub(super) fn never_throws(text: &mut String, name: NameRef<'_>) {
    text.push_str("never-throws ");
    push_name(text, name);
    text.push('\n');
}

/// Begins the imports from a shard.
pub(super) fn from(text: &mut String, shard: &str) {
    let _ = writeln!(text, "\nfrom {}", quoted(shard));
}

/// Writes the import of a function, which may have the name that it has there.
pub(super) fn import(
    text: &mut String,
    is_copy: bool,
    original: NameRef<'_>,
    new: NameRef<'_>,
    hash: u128,
) {
    text.push_str(if is_copy { "  copy " } else { "  import " });
    push_name(text, original);
    push_new_name(text, original, Some(new));
    let _ = writeln!(text, " {hash:032x}");
}

/// Writes the name in the program of a function to which imports refer.
pub(super) fn name(text: &mut String, original: NameRef<'_>, new: NameRef<'_>) {
    text.push_str("  name ");
    push_name(text, original);
    text.push_str(" as ");
    push_name(text, new);
    text.push('\n');
}

/// Adds a name as one word.
pub(super) fn push_name(text: &mut String, name: NameRef<'_>) {
    match name {
        NameRef::Text(name) => plan::push_name_of(text, name),
        NameRef::User(..) => {
            let _ = write!(text, "{name}");
        }
    }
}

fn push_new_name(text: &mut String, original: NameRef<'_>, new: Option<NameRef<'_>>) {
    if let Some(new) = new.filter(|new| *new != original) {
        text.push_str(" as ");
        push_name(text, new);
    }
}

/// Formats a text as one word in quotes.
pub(super) fn quoted(text: &str) -> String {
    // The form of a name with a character that is never usual, without that character.
    let name = plan::plan_name(&FunctionName::testcase(format!(";{text}")));
    name.replacen("%;", "", 1)
}
