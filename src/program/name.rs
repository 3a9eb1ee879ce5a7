//! The names by which functions call each other.

use cranelift_codegen::ir::{self, ExternalName, UserFuncName};
use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// The name of a function, in its definition and in calls.
///
/// Cranelift has two kinds. A *user name* is a pair of numbers, `u0:4`; a *test-case name* is a
/// string of bytes, `%foo`. A function without a name of its own has Cranelift's default, `u0:0`.
///
/// Names are totally ordered, user names by namespace and index before test-case names by bytes, so
/// that an order by name does not depend on the order of the input.
///
/// ```
/// use cranelift_inliner::program::FunctionName;
///
/// let by_number: FunctionName = "u0:4".parse()?;
/// let by_text: FunctionName = "%main".parse()?;
/// assert_eq!(by_text, "main".parse()?);
/// assert!(by_number < by_text);
/// assert_eq!(by_number.to_string(), "u0:4");
/// # Ok::<(), cranelift_inliner::program::ParseNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FunctionName(UserFuncName);

impl FunctionName {
    /// Returns whether it is the name of `func`.
    pub(crate) fn is_that_of(&self, func: &ir::Function) -> bool {
        self.0 == func.name
    }

    /// Returns the user name `u<namespace>:<index>`.
    pub fn user(namespace: u32, index: u32) -> Self {
        Self(UserFuncName::user(namespace, index))
    }

    /// Returns the test-case name of these bytes, without the `%` that text puts before it.
    pub fn testcase(name: impl AsRef<[u8]>) -> Self {
        Self(UserFuncName::testcase(name))
    }

    /// Returns the name of the function that `func_ref` of `func` refers to.
    ///
    /// Returns `None` for the library calls and known symbols that Cranelift itself defines (see
    /// [`ir::LibCall`]), and for a reference that `func` does not declare.
    pub fn of_callee(func: &ir::Function, func_ref: ir::FuncRef) -> Option<Self> {
        Self::of_external(func, &func.dfg.ext_funcs.get(func_ref)?.name)
    }

    /// Returns the name that `name`, as it stands in `func`, refers to; `None` as in
    /// [`of_callee`](Self::of_callee).
    pub fn of_external(func: &ir::Function, name: &ExternalName) -> Option<Self> {
        match name {
            ExternalName::User(name_ref) => {
                let name = func.params.user_named_funcs().get(*name_ref)?;
                Some(Self(UserFuncName::User(name.clone())))
            }
            ExternalName::TestCase(name) => Some(Self(UserFuncName::Testcase(name.clone()))),
            ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => None,
        }
    }

    /// Returns a number that orders names like themselves, as far as it goes: if those of two names
    /// are equal, the names may still differ.
    pub(crate) fn sort_key(&self) -> (bool, u64) {
        match &self.0 {
            UserFuncName::User(name) => (
                false,
                u64::from(name.namespace) << 32 | u64::from(name.index),
            ),
            UserFuncName::Testcase(name) => {
                let mut first = [0; 8];
                for (to, byte) in first.iter_mut().zip(name.raw()) {
                    *to = *byte;
                }
                (true, u64::from_be_bytes(first))
            }
        }
    }

    /// Returns the name as Cranelift holds it.
    pub fn as_user_func_name(&self) -> &UserFuncName {
        &self.0
    }

    /// Returns whether the name can be written as text at all: a test-case name must be UTF-8.
    pub(crate) fn is_utf8(&self) -> bool {
        match &self.0 {
            UserFuncName::User(_) => true,
            UserFuncName::Testcase(name) => std::str::from_utf8(name.raw()).is_ok(),
        }
    }

    /// Returns whether Cranelift's reader takes the printed name for the same name again: a
    /// test-case name may hold only ASCII letters, digits and `_`.
    pub(crate) fn is_clif(&self) -> bool {
        match &self.0 {
            UserFuncName::User(_) => true,
            UserFuncName::Testcase(name) => name
                .raw()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'),
        }
    }

    /// Returns the name as a symbol of an object file. Different names have different symbols.
    ///
    /// `u0:4` becomes `u0_4`. A test-case name stands for itself, with these exceptions: a byte
    /// that is not an ASCII letter, digit, `_` or `.` becomes `$` and its two hexadecimal digits;
    /// the empty name becomes `$`; and a name that is itself of the form `u0_4`, with any number of
    /// `_` before it, gets one more `_` in front.
    pub fn symbol(&self) -> String {
        let raw = match &self.0 {
            UserFuncName::User(name) => return format!("u{}_{}", name.namespace, name.index),
            UserFuncName::Testcase(name) => name.raw(),
        };
        if raw.is_empty() {
            return "$".to_string();
        }
        let mut symbol = String::with_capacity(raw.len() + 1);
        if looks_like_user_symbol(raw) {
            symbol.push('_');
        }
        for &byte in raw {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') {
                symbol.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(symbol, "${byte:02x}");
            }
        }
        symbol
    }
}

/// Returns whether `name` is `u<digits>_<digits>` after any number of `_`.
fn looks_like_user_symbol(name: &[u8]) -> bool {
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let underscores = name.iter().take_while(|byte| **byte == b'_').count();
    let Some(numbers) = name
        .get(underscores..)
        .and_then(|rest| rest.strip_prefix(b"u"))
    else {
        return false;
    };
    let mut parts = numbers.splitn(2, |byte| *byte == b'_');
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number)
}

impl From<UserFuncName> for FunctionName {
    fn from(name: UserFuncName) -> Self {
        Self(name)
    }
}

impl From<FunctionName> for UserFuncName {
    fn from(name: FunctionName) -> Self {
        name.0
    }
}

impl PartialOrd for FunctionName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FunctionName {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (UserFuncName::User(a), UserFuncName::User(b)) => {
                (a.namespace, a.index).cmp(&(b.namespace, b.index))
            }
            (UserFuncName::User(_), UserFuncName::Testcase(_)) => Ordering::Less,
            (UserFuncName::Testcase(_), UserFuncName::User(_)) => Ordering::Greater,
            (UserFuncName::Testcase(a), UserFuncName::Testcase(b)) => a.raw().cmp(b.raw()),
        }
    }
}

/// Writes `u0:4` or `%foo`; bytes of a test-case name that are not UTF-8 are replaced.
impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            UserFuncName::User(name) => write!(f, "{name}"),
            UserFuncName::Testcase(name) => {
                write!(f, "%{}", String::from_utf8_lossy(name.raw()))
            }
        }
    }
}

// Not derived: Cranelift's own `Debug` of a test-case name panics where it is not UTF-8.
impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionName({self})")
    }
}

/// The error for a text that is not a [`FunctionName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a function name: expected `%name`, `name` or `u<namespace>:<index>`")]
pub struct ParseNameError {
    /// The text.
    pub text: String,
}

/// Reads `%foo`, `foo` (the same name) or `u0:4`.
///
/// The text after a `%` is taken as it stands, so that every UTF-8 name reads back from its
/// displayed form. Without a `%`, an empty text is refused, and so is one that begins like a user
/// name, with `u`, digits and a colon, but is not one.
impl FromStr for FunctionName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        if let Some(name) = text.strip_prefix('%') {
            return Ok(Self::testcase(name));
        }
        let refused = || ParseNameError {
            text: text.to_string(),
        };
        if text.is_empty() {
            return Err(refused());
        }
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let numbers = text
            .strip_prefix('u')
            .and_then(|rest| rest.split_once(':'))
            .filter(|(namespace, _)| is_number(namespace));
        let Some((namespace, index)) = numbers else {
            return Ok(Self::testcase(text));
        };
        if !is_number(index) {
            return Err(refused());
        }
        match (namespace.parse(), index.parse()) {
            (Ok(namespace), Ok(index)) => Ok(Self::user(namespace, index)),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn name(text: &str) -> FunctionName {
        text.parse().expect(text)
    }

    #[test]
    fn text_forms_read_and_print() {
        assert_eq!(name("%foo"), name("foo"));
        assert_eq!(name("foo").to_string(), "%foo");
        assert_eq!(name("u0:4"), FunctionName::user(0, 4));
        assert_eq!(
            name("u4294967295:0"),
            FunctionName::user(u32::MAX, 0),
            "the numbers are 32 bits wide"
        );
        assert_eq!(name("%u0:4"), FunctionName::testcase("u0:4"));
        assert_eq!(name("%"), FunctionName::testcase(""));
        assert_eq!(name("up:4"), FunctionName::testcase("up:4"));
        for bad in ["", "u0:", "u0:x", "u0:+4", "u4294967296:0", "u0:4:4"] {
            let error = bad.parse::<FunctionName>().unwrap_err();
            assert_eq!(error.text, bad);
        }
    }

    #[test]
    fn names_that_are_not_utf8_print_without_a_panic() {
        let name = FunctionName::testcase([0xff, b'a']);
        assert_eq!(name.to_string(), "%\u{fffd}a");
        assert_eq!(format!("{name:?}"), "FunctionName(%\u{fffd}a)");
        assert!(!name.is_utf8());
        assert!(FunctionName::testcase("a.b").is_utf8());
        assert!(!FunctionName::testcase("a.b").is_clif());
        assert!(FunctionName::testcase("a_B9").is_clif());
    }

    #[test]
    fn user_names_come_first_and_in_number_order() {
        let mut names = ["b", "u1:0", "a", "u0:10", "u0:9", "aa"].map(name);
        names.sort();
        assert_eq!(names, ["u0:9", "u0:10", "u1:0", "a", "aa", "b"].map(name));
    }

    #[test]
    fn sort_keys_order_names_as_far_as_they_go() {
        let texts = [
            "u0:9",
            "u0:10",
            "u1:0",
            "%",
            "a",
            "ab",
            "abcdefgh",
            "abcdefghi",
            "b",
        ];
        let names = texts.map(name);
        for pair in names.windows(2) {
            assert!(pair[0].sort_key() <= pair[1].sort_key(), "{pair:?}");
        }
        assert_eq!(name("abcdefgh").sort_key(), name("abcdefghi").sort_key());
        assert_ne!(name("a").sort_key(), name("ab").sort_key());
    }

    #[test]
    fn symbols_are_plain_and_all_different() {
        assert_eq!(name("main").symbol(), "main");
        assert_eq!(name("u0:4").symbol(), "u0_4");
        assert_eq!(FunctionName::testcase("a.b").symbol(), "a.b");
        assert_eq!(FunctionName::testcase("a b$").symbol(), "a$20b$24");
        assert_eq!(FunctionName::testcase([0xff]).symbol(), "$ff");
        let alike = [
            "u0:4", "%u0_4", "%_u0_4", "%__u0_4", "%u0:4", "%u0$3a4", "%", "%$", "%u0_", "%u_4",
        ]
        .map(name);
        let symbols: HashSet<String> = alike.iter().map(FunctionName::symbol).collect();
        assert_eq!(symbols.len(), alike.len());
    }

    #[test]
    fn references_are_named_or_not() {
        let mut func = ir::Function::new();
        let signature = func.import_signature(ir::Signature::new(
            cranelift_codegen::isa::CallConv::SystemV,
        ));
        let declare = |func: &mut ir::Function, name| {
            func.import_function(ir::ExtFuncData {
                name,
                signature,
                colocated: false,
                patchable: false,
            })
        };
        let user = func.declare_imported_user_function(ir::UserExternalName::new(3, 5));
        let by_number = declare(&mut func, ExternalName::user(user));
        let by_text = declare(&mut func, ExternalName::testcase("t"));
        let library = declare(&mut func, ExternalName::LibCall(ir::LibCall::FloorF32));
        let dangling = ir::UserExternalNameRef::from_u32(77);
        let dangling = declare(&mut func, ExternalName::user(dangling));
        let of = |func_ref| FunctionName::of_callee(&func, func_ref);
        assert_eq!(of(by_number), Some(name("u3:5")));
        assert_eq!(of(by_text), Some(name("t")));
        assert_eq!(of(library), None);
        assert_eq!(of(dangling), None);
        assert_eq!(of(ir::FuncRef::from_u32(99)), None);
    }
}
