//! Settings that are borrowed or owned.

use crate::profile::Profile;
use std::ops::Deref;
use std::sync::Arc;

/// A value that a pass reads: borrowed, or shared with other owners.
///
/// It comes from a reference or an [`Arc`], and a [`Profile`] also from the value itself. Owned, it
/// limits no lifetime:
///
/// ```
/// use cranelift_inliner::backend::{TargetSettings, target};
/// use cranelift_inliner::{decide::CostModel, pass::Inliner, profile::Profile};
///
/// struct Compiler {
///     inliner: Inliner<'static>,
/// }
///
/// let isa = target("host", &TargetSettings::new())?;
/// let inliner = Inliner::new(CostModel::default())
///     .verify_with(isa.clone())
///     .profile(Profile::new());
/// let compiler = Compiler { inliner };
/// # let _ = compiler.inliner;
/// // A reference serves if its target outlives the pass.
/// let profile = Profile::new();
/// let inliner = Inliner::new(CostModel::default()).verify_with(&*isa).profile(&profile);
/// # let _ = inliner;
/// # Ok::<(), cranelift_inliner::backend::TargetError>(())
/// ```
#[derive(Debug)]
pub enum Shared<'a, T: ?Sized> {
    /// Owned by the embedder.
    Borrowed(&'a T),
    /// Owned, with all other holders of the same [`Arc`].
    Owned(Arc<T>),
}

impl<T: ?Sized> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Shared::Borrowed(value) => Shared::Borrowed(value),
            Shared::Owned(value) => Shared::Owned(Arc::clone(value)),
        }
    }
}

impl<T: ?Sized> Deref for Shared<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Shared::Borrowed(value) => value,
            Shared::Owned(value) => value,
        }
    }
}

impl<'a, T: ?Sized> From<&'a T> for Shared<'a, T> {
    fn from(value: &'a T) -> Self {
        Shared::Borrowed(value)
    }
}

impl<T: ?Sized> From<Arc<T>> for Shared<'_, T> {
    fn from(value: Arc<T>) -> Self {
        Shared::Owned(value)
    }
}

impl From<Profile> for Shared<'_, Profile> {
    fn from(value: Profile) -> Self {
        Shared::Owned(Arc::new(value))
    }
}
