//! The end of an object file (feature `object`).

use super::{InliningModule, ModuleReport};
use cranelift_module::ModuleResult;
use cranelift_object::{ObjectModule, ObjectProduct};

/// The method of [`ObjectModule`] outside the trait (feature `object`).
impl InliningModule<'_, ObjectModule> {
    /// [Finishes](InliningModule::finish) the inlining and then the object file, with
    /// [`ObjectModule::finish`].
    ///
    /// # Errors
    ///
    /// As [`InliningModule::finish`].
    ///
    /// ```
    /// use cranelift_inliner::backend::{TargetSettings, target};
    /// use cranelift_inliner::{decide::CostModel, module::InliningModule, pass::Inliner};
    /// use cranelift_module::default_libcall_names;
    /// use cranelift_object::{ObjectBuilder, ObjectModule};
    ///
    /// let isa = target("host", &TargetSettings::new())?;
    /// let plain = ObjectModule::new(ObjectBuilder::new(isa, "empty", default_libcall_names())?);
    /// let module = InliningModule::for_object_file(plain, Inliner::new(CostModel::default()));
    /// // Before: `let product = module.finish();`
    /// let (product, _report) = module.finish_object()?;
    /// assert!(!product.emit()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish_object(self) -> ModuleResult<(ObjectProduct, ModuleReport)> {
        let (module, report) = self.finish()?;
        Ok((module.finish(), report))
    }
}
