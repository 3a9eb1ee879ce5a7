//! The macro for settings that are plain data.
//!
//! Such a type is `#[non_exhaustive]` with a `Default`, so outside of this crate it cannot be
//! written as a literal. A method per field sets it in the middle of an expression.

/// Writes `with_field` for each field of `Type`, except those in brackets: the constructor's and
/// the crate's own. A field in neither list is an error of the compiler.
macro_rules! settings {
    (
        $Type:ident { $($with:ident: $field:ident: $Value:ty),+ $(,)? }
        $([$($other:ident),+])?
    ) => {
        impl $Type {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($field), "`](field@Self::", stringify!($field),
                    "), and returns the result."
                )]
                #[must_use]
                pub fn $with(mut self, $field: $Value) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }

        const _: fn(&$Type) = |settings| {
            let $Type { $($field: _,)+ $($($other: _,)+)? } = settings;
        };
    };
}
