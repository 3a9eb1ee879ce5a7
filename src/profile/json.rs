//! The file of a profile.

use super::Profile;
use crate::graph::SiteName;
use crate::program::{FunctionName, ParseNameError};
use cranelift_codegen::ir::SourceLoc;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "clif-inline profile";
const VERSION: u32 = 1;

/// The error for a text that is not a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseProfileError {
    /// The text is not JSON, or JSON of another form.
    #[error("this is not a profile: {0}")]
    Json(#[from] serde_json::Error),
    /// It is the JSON of something else.
    #[error("this is not a profile: `format` is `{0}`, not `{FORMAT}`")]
    Format(String),
    /// The profile is of a version that this one does not know.
    #[error("this profile is of version {0}, and only version {VERSION} can be read")]
    Version(u32),
    /// A function's name is none.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// A location is none.
    #[error("`{0}` is not a source location: expected `@` and a hexadecimal number, as in CLIF")]
    Location(String),
    /// A site is listed twice.
    #[error("{0} is listed twice")]
    Twice(SiteName),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    sites: Vec<Site>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Site {
    caller: String,
    callee: String,
    ordinal: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    stage: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    count: u64,
}

impl Profile {
    /// Returns the profile in a text of the form that `docs/PROFILE.md` describes.
    ///
    /// ```
    /// use cranelift_inliner::profile::Profile;
    ///
    /// let profile = Profile::from_json(r#"{
    ///     "format": "clif-inline profile",
    ///     "version": 1,
    ///     "sites": [
    ///         { "caller": "%main", "callee": "u0:4", "ordinal": 0, "location": "@0040", "count": 7 }
    ///     ]
    /// }"#)?;
    /// assert_eq!(profile.iter().map(|(_, site)| site.count).sum::<u64>(), 7);
    /// assert_eq!(Profile::from_json(&profile.to_json())?, profile);
    /// # Ok::<(), cranelift_inliner::profile::ParseProfileError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ParseProfileError`].
    pub fn from_json(text: &str) -> Result<Self, ParseProfileError> {
        let file: File = serde_json::from_str(text)?;
        if file.format != FORMAT {
            return Err(ParseProfileError::Format(file.format));
        }
        if file.version != VERSION {
            return Err(ParseProfileError::Version(file.version));
        }
        let mut profile = Profile::new();
        for site in file.sites {
            let name = SiteName {
                caller: site.caller.parse::<FunctionName>()?,
                callee: site.callee.parse::<FunctionName>()?,
                ordinal: site.ordinal,
                stage: site.stage,
            };
            if profile.get(&name).is_some() {
                return Err(ParseProfileError::Twice(name));
            }
            let location = site.location.map_or(Ok(SourceLoc::default()), location)?;
            profile.insert(name, location, site.count);
        }
        Ok(profile)
    }

    /// Returns the text of the profile's file: JSON, with the sites in the order of their names,
    /// one per line.
    pub fn to_json(&self) -> String {
        let mut text =
            format!("{{\n  \"format\": \"{FORMAT}\",\n  \"version\": {VERSION},\n  \"sites\": [");
        for (index, (name, site)) in self.iter().enumerate() {
            let location = (!site.location.is_default()).then(|| site.location.to_string());
            let site = Site {
                caller: name.caller.to_string(),
                callee: name.callee.to_string(),
                ordinal: name.ordinal,
                stage: name.stage,
                location,
                count: site.count,
            };
            text += if index == 0 { "\n    " } else { ",\n    " };
            // Strings and numbers can always be written.
            text += &serde_json::to_string(&site).unwrap_or_default();
        }
        text += if self.is_empty() {
            "]\n}\n"
        } else {
            "\n  ]\n}\n"
        };
        text
    }
}

// Serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(stage: &u32) -> bool {
    *stage == 0
}

fn location(text: String) -> Result<SourceLoc, ParseProfileError> {
    let digits = text.strip_prefix('@').filter(|digits| {
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    match digits.map(|digits| u32::from_str_radix(digits, 16)) {
        Some(Ok(bits)) => Ok(SourceLoc::new(bits)),
        _ => Err(ParseProfileError::Location(text)),
    }
}
