//! The number and size of the bodies that a stream holds.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bodies that a stream holds.
#[derive(Default)]
pub(super) struct Held {
    functions: Peak,
    insts: Peak,
}

/// A number, and the most that it has been.
#[derive(Default)]
pub(super) struct Peak {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Peak {
    fn add(&self, number: usize) {
        let now = self.now.fetch_add(number, Ordering::Relaxed) + number;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn sub(&self, number: usize) {
        self.now.fetch_sub(number, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Held {
    pub(super) fn add(&self, insts: usize) {
        self.functions.add(1);
        self.insts.add(insts);
    }

    pub(super) fn sub(&self, insts: usize) {
        self.functions.sub(1);
        self.insts.sub(insts);
    }

    pub(super) fn functions(&self) -> &Peak {
        &self.functions
    }

    pub(super) fn insts(&self) -> &Peak {
        &self.insts
    }
}
