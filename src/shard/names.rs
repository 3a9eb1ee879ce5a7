//! The names of a summary, without an allocation for each.

use crate::program::{FunctionName, Program};
use cranelift_codegen::ir::UserFuncName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a function, borrowed. Ordered like [`FunctionName`], and read like
/// [`Name`](super::summary::Name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub(super) enum NameRef<'a> {
    User(u32, u32),
    Text(&'a str),
}

impl<'a> NameRef<'a> {
    pub(super) fn of(name: &'a FunctionName) -> Self {
        match name.as_user_func_name() {
            UserFuncName::User(name) => NameRef::User(name.namespace, name.index),
            // Programs have only names that are UTF-8.
            UserFuncName::Testcase(name) => {
                NameRef::Text(std::str::from_utf8(name.raw()).unwrap_or_default())
            }
        }
    }

    pub(super) fn function_name(self) -> FunctionName {
        match self {
            NameRef::User(namespace, index) => FunctionName::user(namespace, index),
            NameRef::Text(text) => FunctionName::testcase(text),
        }
    }
}

/// Writes it like a [`FunctionName`].
impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameRef::User(namespace, index) => write!(f, "u{namespace}:{index}"),
            NameRef::Text(text) => write!(f, "%{text}"),
        }
    }
}

/// The names of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    /// The texts of all names that have one.
    text: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    User(u32, u32),
    /// Its begin and its length in bytes.
    Text(u32, u32),
}

impl Names {
    /// Returns the names of a program's functions, in their order.
    pub(super) fn of(program: &Program) -> Self {
        let functions = || program.iter().map(|(_, function)| function.name());
        let length = |name| match NameRef::of(name) {
            NameRef::User(..) => 0,
            NameRef::Text(text) => text.len(),
        };
        let mut names = Names {
            text: String::with_capacity(functions().map(length).sum()),
            entries: Vec::with_capacity(program.len()),
        };
        for name in functions() {
            names.push(NameRef::of(name));
        }
        names
    }

    /// Adds a name, and returns its number.
    pub(super) fn push(&mut self, name: NameRef<'_>) -> u32 {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(match name {
            NameRef::User(namespace, index) => Entry::User(namespace, index),
            NameRef::Text(text) => {
                let begin = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
                self.text.push_str(text);
                Entry::Text(begin, u32::try_from(text.len()).unwrap_or(u32::MAX))
            }
        });
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<NameRef<'_>> {
        match *self.entries.get(number as usize)? {
            Entry::User(namespace, index) => Some(NameRef::User(namespace, index)),
            Entry::Text(begin, length) => {
                let begin = begin as usize;
                let text = self
                    .text
                    .get(begin..begin.saturating_add(length as usize))?;
                Some(NameRef::Text(text))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether all names are there.
    pub(super) fn are_complete(&self) -> bool {
        let mut numbers = 0..u32::try_from(self.len()).unwrap_or(u32::MAX);
        numbers.all(|number| self.get(number).is_some())
    }
}
