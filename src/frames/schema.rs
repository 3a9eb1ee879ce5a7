//! The division of an embedder's debug tags into frames.

use cranelift_codegen::ir::DebugTag;
use std::borrow::Cow;
use thiserror::Error;

/// Splits tags into virtual frames.
///
/// Tags have no meaning for Cranelift or for this crate: inlining only puts the tags of the call
/// before those of the callee's instructions. To read them as a stack, an embedder has to choose a
/// form in which the sequence can be split again. Three forms are provided: [`FixedFrames`],
/// [`CountedFrames`] and [`WasmtimeFrames`].
pub trait FrameSchema: Sync {
    /// Returns how many of `tags` belong to the first frame in them, the outermost. `tags` has at
    /// least one tag. The result must be at least 1 and at most the number of tags; otherwise the
    /// sequence counts as one that cannot be split.
    ///
    /// # Errors
    ///
    /// The defect of the sequence.
    fn first_frame(&self, tags: &[DebugTag]) -> Result<usize, SchemaViolation>;

    /// Returns the index of the first tag of a frame that the table keeps. The tags before it only
    /// delimit the frame. 0 by default.
    fn delimiters(&self) -> usize {
        0
    }
}

impl<S: FrameSchema + ?Sized> FrameSchema for &S {
    fn first_frame(&self, tags: &[DebugTag]) -> Result<usize, SchemaViolation> {
        (**self).first_frame(tags)
    }

    fn delimiters(&self) -> usize {
        (**self).delimiters()
    }
}

/// Why a sequence of tags is not in a schema's form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SchemaViolation(Cow<'static, str>);

impl SchemaViolation {
    /// Creates a violation that `reason` describes.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        SchemaViolation(reason.into())
    }
}

/// The same number of tags for every frame, of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedFrames {
    tags: usize,
}

impl FixedFrames {
    /// Frames of `tags` tags each. With 0 no sequence can be split.
    pub fn new(tags: usize) -> Self {
        FixedFrames { tags }
    }
}

impl FrameSchema for FixedFrames {
    fn first_frame(&self, tags: &[DebugTag]) -> Result<usize, SchemaViolation> {
        if self.tags == 0 {
            return Err(SchemaViolation::new("a frame cannot have 0 tags"));
        }
        if tags.len() < self.tags {
            return Err(SchemaViolation::new(format!(
                "{} tags are left for a frame of {}",
                tags.len(),
                self.tags
            )));
        }
        Ok(self.tags)
    }
}

/// Each frame begins with `User(n)`, and `n` tags of any kind follow. The count itself is not kept
/// in the table. A frame may have no tags: `User(0)` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountedFrames;

impl FrameSchema for CountedFrames {
    fn first_frame(&self, tags: &[DebugTag]) -> Result<usize, SchemaViolation> {
        let (count, rest) = match tags {
            [DebugTag::User(count), rest @ ..] => (*count, rest),
            _ => return Err(SchemaViolation::new("a frame must begin with its count")),
        };
        match usize::try_from(count) {
            Ok(count) if count <= rest.len() => Ok(count + 1),
            _ => Err(SchemaViolation::new(format!(
                "a count of {count} with {} tags behind it",
                rest.len()
            ))),
        }
    }

    fn delimiters(&self) -> usize {
        1
    }
}

/// Wasmtime's form: the stack slot that holds the frame's state, the WebAssembly program counter,
/// and the shape of the operand stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WasmtimeFrames;

impl FrameSchema for WasmtimeFrames {
    fn first_frame(&self, tags: &[DebugTag]) -> Result<usize, SchemaViolation> {
        match tags {
            [
                DebugTag::StackSlot(_),
                DebugTag::User(_),
                DebugTag::User(_),
                ..,
            ] => Ok(3),
            _ => Err(SchemaViolation::new(
                "a frame must be a stack slot, a program counter and a stack shape",
            )),
        }
    }
}

/// Splits `tags` into frames, outermost first.
///
/// # Errors
///
/// The schema's, or that it answered with an impossible number. The iterator then ends.
///
/// ```
/// use cranelift_codegen::ir::DebugTag::User;
/// use cranelift_inliner::frames::{CountedFrames, split_frames};
///
/// let tags = [User(2), User(7), User(8), User(0), User(1), User(9)];
/// let frames: Vec<_> = split_frames(&CountedFrames, &tags).collect::<Result<_, _>>()?;
/// assert_eq!(frames, [&tags[1..3], &[], &tags[5..]]);
/// # Ok::<(), cranelift_inliner::frames::SchemaViolation>(())
/// ```
pub fn split_frames<'t>(
    schema: &impl FrameSchema,
    tags: &'t [DebugTag],
) -> impl Iterator<Item = Result<&'t [DebugTag], SchemaViolation>> {
    let mut rest = tags;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = schema.first_frame(rest).and_then(|length| {
            let (frame, behind) = match rest.split_at_checked(length) {
                Some(split) if length > 0 => split,
                _ => {
                    return Err(SchemaViolation::new(format!(
                        "the schema sees a frame of {length} in {} tags",
                        rest.len()
                    )));
                }
            };
            rest = behind;
            Ok(frame.get(schema.delimiters()..).unwrap_or_default())
        });
        if frame.is_err() {
            rest = &[];
        }
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::DebugTag::User;
    use cranelift_codegen::ir::StackSlot;

    fn slot(number: u32) -> DebugTag {
        DebugTag::StackSlot(StackSlot::from_u32(number))
    }

    fn split(schema: impl FrameSchema, tags: &[DebugTag]) -> Result<Vec<Vec<DebugTag>>, String> {
        split_frames(&schema, tags)
            .map(|frame| frame.map(<[_]>::to_vec).map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn frames_of_a_fixed_length() {
        let tags = [slot(1), User(2), User(3), slot(4)];
        let frames = vec![vec![slot(1), User(2)], vec![User(3), slot(4)]];
        assert_eq!(split(FixedFrames::new(2), &tags), Ok(frames));
        assert_eq!(split(FixedFrames::new(2), &[]), Ok(vec![]));
        assert_eq!(
            split(FixedFrames::new(3), &tags),
            Err("1 tags are left for a frame of 3".into())
        );
        assert_eq!(
            split(FixedFrames::new(0), &tags),
            Err("a frame cannot have 0 tags".into())
        );
    }

    #[test]
    fn counted_frames_lose_their_counts() {
        let tags = [User(2), slot(0), User(7), User(0), User(1), slot(3)];
        let frames = vec![vec![slot(0), User(7)], vec![], vec![slot(3)]];
        assert_eq!(split(CountedFrames, &tags), Ok(frames));
        assert_eq!(
            split(CountedFrames, &tags[..5]),
            Err("a count of 1 with 0 tags behind it".into())
        );
        assert_eq!(
            split(CountedFrames, &tags[1..]),
            Err("a frame must begin with its count".into())
        );
        assert!(split(CountedFrames, &[User(u32::MAX)]).is_err());
    }

    #[test]
    fn the_three_tags_of_wasmtime() {
        let tags = [slot(0), User(1), User(2), slot(3), User(4), User(u32::MAX)];
        let frames = vec![tags[..3].to_vec(), tags[3..].to_vec()];
        assert_eq!(split(WasmtimeFrames, &tags), Ok(frames));
        for wrong in [&tags[..5], &tags[1..], &[User(0), User(1), User(2)]] {
            assert!(split(WasmtimeFrames, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_schema_that_answers_nonsense_is_an_error() {
        struct Nonsense(usize);
        impl FrameSchema for Nonsense {
            fn first_frame(&self, _: &[DebugTag]) -> Result<usize, SchemaViolation> {
                Ok(self.0)
            }
            fn delimiters(&self) -> usize {
                9
            }
        }
        assert!(split(Nonsense(0), &[User(1)]).is_err());
        assert!(split(Nonsense(2), &[User(1)]).is_err());
        assert_eq!(split(Nonsense(1), &[User(1)]), Ok(vec![vec![]]));
    }
}
