//! Why a policy decided as it did.

use std::borrow::Cow;
use std::fmt;

/// The reason for a policy's answer: a short phrase without a final period.
///
/// There is one for each call of a program, and most are never read. So the policies that ship keep
/// theirs as figures, which become words when they are displayed. Two reasons are equal if their
/// words are.
///
/// ```
/// use cranelift_inliner::decide::PolicyReason;
///
/// let shape = 3;
/// let reason = PolicyReason::from(format!("shape {shape}"));
/// assert_eq!(reason.to_string(), "shape 3");
/// assert_ne!(reason, PolicyReason::from("a getter"));
/// ```
#[derive(Clone)]
pub struct PolicyReason(Form);

#[derive(Clone, PartialEq)]
enum Form {
    Constant(&'static str),
    Text(Box<str>),
    LargeCallee {
        insts: usize,
        most: usize,
    },
    LargeSum {
        insts: usize,
        most: usize,
    },
    SmallCallee {
        insts: usize,
    },
    /// The usual weighing, in compact form.
    Weighed {
        cost: i32,
        benefit: i32,
        threshold: Option<i32>,
        own_slots: u16,
        slots: u8,
        branches: u8,
        sole_call_site: bool,
    },
    WeighedInFull(Box<Weighing>),
}

/// The cost model's findings about a site.
#[derive(Clone, PartialEq)]
pub(super) struct Weighing {
    pub(super) cost: i64,
    pub(super) benefit: i64,
    /// `None` where the site would have been below every threshold.
    pub(super) threshold: Option<i64>,
    pub(super) executed: Option<u64>,
    /// Instructions of the callee that go with its own stack slots, and are not in the cost.
    pub(super) own_slots: usize,
    /// Stack slots of the caller that may become values.
    pub(super) slots: usize,
    /// Branches of the caller that a constant result decides on some ways.
    pub(super) branches: usize,
    /// Whether the callee goes away after inlining its only call.
    pub(super) sole_call_site: bool,
}

impl PolicyReason {
    /// Returns the reason that the callee has more than `most` instructions.
    pub(super) fn large_callee(insts: usize, most: usize) -> Self {
        Self(Form::LargeCallee { insts, most })
    }

    /// Returns the reason that the caller and the callee have more than `most` instructions.
    pub(super) fn large_sum(insts: usize, most: usize) -> Self {
        Self(Form::LargeSum { insts, most })
    }

    /// Returns how far the net cost (cost less benefit) of a site that a
    /// [`CostModel`](super::CostModel) weighed lies below its threshold: negative if the site is
    /// kept. Returns `None` for other reasons, and for a site that is cheaper than every threshold.
    ///
    /// ```
    /// use cranelift_inliner::decide::{CostModel, PolicyReason};
    /// use cranelift_inliner::pass::{Inliner, Reason};
    /// use cranelift_inliner::program::Program;
    ///
    /// let text = "
    /// function %square(i32) -> i32 {
    /// block0(v0: i32):
    ///     v1 = imul v0, v0
    ///     return v1
    /// }
    /// function %main(i32) -> i32 {
    ///     fn0 = %square(i32) -> i32
    /// block0(v0: i32):
    ///     v1 = call fn0(v0)
    ///     return v1
    /// }";
    /// let model = CostModel::default()
    ///     .with_threshold(-1000)
    ///     .with_loop_bonus(0)
    ///     .with_cold_threshold(-1000);
    /// let inlined = Inliner::new(model).run(&Program::from_clif(text, "square.clif")?)?;
    /// let site = inlined.sites().next().ok_or("no site")?;
    /// assert!(!site.inlined);
    /// let Reason::Policy(reason) = &site.reason else { return Err("another reason".into()) };
    /// assert_eq!((reason.cost(), reason.benefit()), (Some(2), Some(10)));
    /// assert_eq!(reason.threshold(), Some(-1000));
    /// assert_eq!(reason.margin(), Some(-992));
    /// assert_eq!(PolicyReason::from("a getter").margin(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn margin(&self) -> Option<i64> {
        let net = self.cost()?.saturating_sub(self.benefit()?);
        Some(self.threshold()?.saturating_sub(net))
    }

    /// Returns the cost that a [`CostModel`](super::CostModel) found, in instructions; `None` for
    /// other reasons.
    pub fn cost(&self) -> Option<i64> {
        match &self.0 {
            &Form::Weighed { cost, .. } => Some(cost.into()),
            Form::WeighedInFull(weighing) => Some(weighing.cost),
            _ => None,
        }
    }

    /// Returns the benefit that a [`CostModel`](super::CostModel) found, in instructions; `None`
    /// for other reasons.
    pub fn benefit(&self) -> Option<i64> {
        match &self.0 {
            &Form::Weighed { benefit, .. } => Some(benefit.into()),
            Form::WeighedInFull(weighing) => Some(weighing.benefit),
            _ => None,
        }
    }

    /// Returns the threshold of a [`CostModel`](super::CostModel), in instructions; `None` for
    /// other reasons, and for a site that is cheaper than every threshold.
    pub fn threshold(&self) -> Option<i64> {
        match &self.0 {
            &Form::Weighed { threshold, .. } => threshold.map(i64::from),
            Form::WeighedInFull(weighing) => weighing.threshold,
            _ => None,
        }
    }

    pub(super) fn small_callee(insts: usize) -> Self {
        Self(Form::SmallCallee { insts })
    }

    pub(super) fn weighed(weighing: Weighing) -> Self {
        let form = weighing.narrow();
        Self(form.unwrap_or_else(|| Form::WeighedInFull(Box::new(weighing))))
    }
}

impl Weighing {
    fn narrow(&self) -> Option<Form> {
        if self.executed.is_some() {
            return None;
        }
        let threshold = self.threshold.map(i32::try_from);
        Some(Form::Weighed {
            cost: self.cost.try_into().ok()?,
            benefit: self.benefit.try_into().ok()?,
            threshold: threshold.transpose().ok()?,
            own_slots: self.own_slots.try_into().ok()?,
            slots: self.slots.try_into().ok()?,
            branches: self.branches.try_into().ok()?,
            sole_call_site: self.sole_call_site,
        })
    }
}

impl fmt::Display for Weighing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sole_call_site {
            f.write_str("sole call site: ")?;
        }
        write!(f, "cost {}", self.cost)?;
        if self.own_slots > 0 {
            write!(f, " without {} for its own slots", self.own_slots)?;
        }
        write!(f, ", benefit {}", self.benefit)?;
        if let Some(threshold) = self.threshold {
            write!(f, ", threshold {threshold}")?;
        }
        match self.slots {
            0 => {}
            1 => f.write_str(", 1 slot may become values")?,
            slots => write!(f, ", {slots} slots may become values")?,
        }
        match self.branches {
            0 => {}
            1 => f.write_str(", 1 branch on a constant result")?,
            branches => write!(f, ", {branches} branches on constant results")?,
        }
        match self.executed {
            Some(count) => write!(f, ", executed {count} times"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PolicyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Constant(text) => f.write_str(text),
            Form::Text(text) => f.write_str(text),
            Form::LargeCallee { insts, most } => {
                write!(f, "{insts} instructions are more than {most}")
            }
            Form::LargeSum { insts, most } => {
                write!(
                    f,
                    "caller and callee have {insts} instructions, more than {most}"
                )
            }
            Form::SmallCallee { insts } => write!(f, "small: {insts} instructions"),
            &Form::Weighed {
                cost,
                benefit,
                threshold,
                own_slots,
                slots,
                branches,
                sole_call_site,
            } => Weighing {
                cost: cost.into(),
                benefit: benefit.into(),
                threshold: threshold.map(i64::from),
                executed: None,
                own_slots: own_slots.into(),
                slots: slots.into(),
                branches: branches.into(),
                sole_call_site,
            }
            .fmt(f),
            Form::WeighedInFull(weighing) => weighing.fmt(f),
        }
    }
}

impl fmt::Debug for PolicyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyReason({:?})", self.to_string())
    }
}

impl PartialEq for PolicyReason {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.to_string() == other.to_string()
    }
}

impl Eq for PolicyReason {}

impl From<&'static str> for PolicyReason {
    fn from(text: &'static str) -> Self {
        Self(Form::Constant(text))
    }
}

impl From<String> for PolicyReason {
    fn from(text: String) -> Self {
        Self(Form::Text(text.into_boxed_str()))
    }
}

impl From<Cow<'static, str>> for PolicyReason {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighing(cost: i64) -> Weighing {
        Weighing {
            cost,
            benefit: 9,
            threshold: None,
            executed: None,
            own_slots: 0,
            slots: 0,
            branches: 0,
            sole_call_site: false,
        }
    }

    #[test]
    fn words_do_not_depend_on_how_figures_are_kept() {
        let wide = i64::from(i32::MAX) + 1;
        let told = |weighing: Weighing| {
            let reason = PolicyReason::weighed(weighing.clone());
            assert_eq!(reason.to_string(), weighing.to_string());
            reason.to_string()
        };
        assert_eq!(told(weighing(-4)), "cost -4, benefit 9");
        assert_eq!(told(weighing(wide)), "cost 2147483648, benefit 9");
        let mut all = weighing(12);
        (all.threshold, all.sole_call_site) = (Some(-1), true);
        assert_eq!(
            told(all.clone()),
            "sole call site: cost 12, benefit 9, threshold -1"
        );
        all.slots = 1;
        assert_eq!(
            told(all.clone()),
            "sole call site: cost 12, benefit 9, threshold -1, 1 slot may become values"
        );
        all.branches = 1;
        assert_eq!(
            told(all.clone()),
            "sole call site: cost 12, benefit 9, threshold -1, 1 slot may become values, \
             1 branch on a constant result"
        );
        all.own_slots = 1;
        assert_eq!(
            told(all.clone()),
            "sole call site: cost 12 without 1 for its own slots, benefit 9, threshold -1, \
             1 slot may become values, 1 branch on a constant result"
        );
        all.own_slots = 70_000;
        all.slots = 300;
        all.branches = 2;
        all.executed = Some(u64::MAX);
        assert_eq!(
            told(all),
            "sole call site: cost 12 without 70000 for its own slots, benefit 9, threshold -1, \
             300 slots may become values, 2 branches on constant results, executed 18446744073709551615 times"
        );
    }

    #[test]
    fn reasons_are_equal_by_their_words() {
        assert_eq!(
            PolicyReason::small_callee(7),
            PolicyReason::from("small: 7 instructions")
        );
        assert_eq!(
            PolicyReason::from("a"),
            PolicyReason::from(String::from("a"))
        );
        assert_ne!(
            PolicyReason::large_callee(7, 6),
            PolicyReason::large_sum(7, 6)
        );
    }

    #[test]
    fn a_reason_takes_little_room() {
        assert!(size_of::<PolicyReason>() <= 24);
    }
}
