//! From a throw to a handler, by the chain of frame pointers.
#![allow(unsafe_code)]

use super::image::Image;
use std::arch::naked_asm;
use std::ptr;

/// Where an exception goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    address: u64,
    sp: u64,
    fp: u64,
}

/// The first handler of `tag` at the calls of the frames from `(fp, pc)` outward, until
/// `is_outermost` says so of a frame.
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

/// The caller's frame pointer and the return address of the frame at `fp`.
pub(super) fn frame(fp: u64) -> (u64, u64) {
    let words = ptr::with_exposed_provenance::<u64>(fp as usize);
    // SAFETY: `fp` is the frame pointer of compiled code on this thread's stack, which keeps frame
    // pointers: at it is the caller's, and above that the return address.
    unsafe { (words.read(), words.add(1).read()) }
}

/// Goes on at `goal`, with the payload in the registers that every convention with exceptions
/// names for it.
///
/// # Safety
///
/// `goal` must be a handler of a call that is under way, and no frame below it may have anything to
/// drop.
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
