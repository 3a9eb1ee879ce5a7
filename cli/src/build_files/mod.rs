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
    /// The arguments of `summarize`.
    pub(crate) summarize: Vec<String>,
    pub(crate) plan: String,
    pub(crate) object: String,
    /// The shards that it imports functions from.
    pub(crate) imports: Vec<String>,
}

impl Shard {
    /// Returns the arguments of `backend`, without the tool.
    pub(crate) fn backend(&self, options: &[String]) -> Vec<String> {
        let mut arguments = vec!["backend".to_owned(), self.name.clone()];
        arguments.extend(["--plan".to_owned(), self.plan.clone()]);
        for import in &self.imports {
            arguments.extend(["--import".to_owned(), import.clone()]);
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
