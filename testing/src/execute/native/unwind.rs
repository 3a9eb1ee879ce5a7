//! The way from a throw to a handler, along the chain of frame pointers.
#![allow(unsafe_code)]

use crate::execute::image::Image;
use std::arch::naked_asm;
use std::ptr;

/// The place where execution continues after an exception.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    address: u64,
    sp: u64,
    fp: u64,
}

/// Returns the first handler of `tag` at the calls of the frames from `(fp, pc)` outward, up to the
/// frame for which `is_outermost` returns true.
pub(super) fn find_handler(
    image: &Image,
    tag: u32,
    (mut fp, mut pc): (u64, u64),
    is_outermost: impl Fn(u64, u64) -> bool,
) -> Option<Goal> {
    loop {
        if let Some(landing) = image.handler(pc, tag) {
            return Some(Goal {
                address: landing.address,
                sp: fp - landing.frame_offset,
                fp,
            });
        }
        if is_outermost(fp, pc) {
            return None;
        }
        (fp, pc) = frame(fp);
    }
}

/// Returns the caller's frame pointer and the return address of the frame at `fp`.
pub(super) fn frame(fp: u64) -> (u64, u64) {
    let words = ptr::with_exposed_provenance::<u64>(fp as usize);
    // SAFETY: `fp` is the frame pointer of compiled code on this thread's stack, which keeps frame
    // pointers: at it is the caller's, and above that the return address.
    unsafe { (words.read(), words.add(1).read()) }
}

/// Continues at `goal`, with the payload in the registers that every convention with exceptions
/// uses for it.
///
/// # Safety
///
/// `goal` must be a handler of an active call, and no frame below it may have anything to drop.
pub(super) unsafe fn resume(goal: Goal, payload_0: u64, payload_1: u64) -> ! {
    // SAFETY: the frame is intact, as the caller promises.
    unsafe { land(goal.address, goal.sp, goal.fp, payload_0, payload_1) }
}

#[unsafe(naked)]
unsafe extern "C" fn land(address: u64, sp: u64, fp: u64, payload_0: u64, payload_1: u64) -> ! {
    naked_asm!(
        "mov rax, rcx",
        "mov rsp, rsi",
        "mov rbp, rdx",
        "mov rdx, r8",
        "jmp rdi",
    )
}
