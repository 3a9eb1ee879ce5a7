//! `clif-inline completions` and `clif-inline man`: the files that a package installs beside the
//! tool.

use crate::arguments::{CompletionsArguments, ManArguments, help};
use crate::failure::Failure;
use crate::output::Output;
use clap_mangen::Man;
use std::path::Path;

/// The name of the installed tool.
const NAME: &str = "clif-inline";

pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut help::whole(), NAME, &mut text);
    Output::StandardOutput.write_bytes(&text)
}

pub(crate) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    let mut command = help::whole();
    command.build();
    let folder = &arguments.folder;
    if folder == Path::new("-") {
        return Output::StandardOutput.write_bytes(&page(&command, NAME)?);
    }
    let commands = command
        .get_subcommands()
        .filter(|command| command.get_name() != "help");
    let pages = commands.map(|command| (command, format!("{NAME}-{}", command.get_name())));
    for (command, name) in [(&command, NAME.to_owned())].into_iter().chain(pages) {
        let output = Output::File(folder.join(format!("{name}.1")));
        output.write_bytes(&page(command, &name)?)?;
        output.tell("");
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(name);
    man.render(&mut page)
        .map_err(|error| Failure::new(format!("{name}.1: {error}")))?;
    Ok(page)
}
