//! Files for build systems, made from the plans of all shards.

pub(crate) mod bazel;
pub(crate) mod depfile;
pub(crate) mod jobs;
pub(crate) mod ninja;

/// The build of a program in shards.
pub(crate) struct Build {
    /// The command that calls this tool.
    pub(crate) tool: String,
    pub(crate) folder: String,
    /// The arguments of `thin`.
    pub(crate) thin: Vec<String>,
    /// The options that each `backend` gets.
    pub(crate) backend_options: Vec<String>,
    pub(crate) shards: Vec<Shard>,
}

/// One shard, with the paths of its files.
pub(crate) struct Shard {
    /// Its name, the path of its CLIF unless it was named otherwise.
    pub(crate) name: String,
    pub(crate) summary: String,
    /// The file with its functions, if there is one beside its CLIF.
    pub(crate) bodies: Option<String>,
    /// The arguments of `summarize`.
    pub(crate) summarize: Vec<String>,
    pub(crate) plan: String,
    pub(crate) object: String,
    /// The shards that it imports functions from.
    pub(crate) imports: Vec<Import>,
}

/// Another shard, from which one imports functions.
pub(crate) struct Import {
    pub(crate) name: String,
    /// The file with its functions, if it is not named like the shard.
    pub(crate) bodies: Option<String>,
}

impl Import {
    pub(crate) fn file(&self) -> &str {
        self.bodies.as_ref().unwrap_or(&self.name)
    }
}

impl Shard {
    /// Returns the file with its functions that `backend` reads.
    pub(crate) fn file(&self) -> &str {
        self.bodies.as_ref().unwrap_or(&self.name)
    }

    /// Returns the arguments of `backend`, without the tool.
    pub(crate) fn backend(&self, options: &[String]) -> Vec<String> {
        let mut arguments = vec!["backend".to_owned(), self.file().to_owned()];
        arguments.extend(["--plan".to_owned(), self.plan.clone()]);
        for import in &self.imports {
            let import = match &import.bodies {
                Some(bodies) => format!("{}={bodies}", import.name),
                None => import.name.clone(),
            };
            arguments.extend(["--import".to_owned(), import]);
        }
        arguments.extend(["-o".to_owned(), self.object.clone()]);
        arguments.extend(options.iter().cloned());
        arguments
    }
}

/// Quotes the words of a command for a shell.
pub(crate) fn shell<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    let words =
        words.into_iter().map(
            |word| match !word.is_empty() && word.chars().all(is_usual) {
                true => word.to_owned(),
                false => format!("'{}'", word.replace('\'', "'\\''")),
            },
        );
    words.collect::<Vec<_>>().join(" ")
}
