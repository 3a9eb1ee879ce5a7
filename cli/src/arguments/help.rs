//! Help in two parts: `--help` of a command has its own options, and `--help-shared` the options
//! that commands share.
//!
//! Shared options are those under a heading of their own.

use super::Arguments;
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::env;
use std::ffi::OsString;

const SHARED: &str = "help-shared";

/// Returns the complete command line, for man pages and completions.
pub(crate) fn whole() -> Command {
    with_shared_flag(Arguments::command())
}

/// Like [`whole`], but its help leaves shared options out.
pub(crate) fn command() -> Command {
    let names = names(&whole());
    names.iter().fold(whole(), |command, name| {
        command.mut_subcommand(name, |command| {
            let name = command.get_name().to_owned();
            let examples = command.get_after_long_help().cloned();
            let command = command.mut_args(|arg| {
                let is_shared = is_shared(&arg);
                arg.hide(is_shared)
            });
            if !command.get_arguments().any(is_shared) {
                return command;
            }
            let more =
                format!("Policies, limits, names, reports and more: clif-inline {name} --{SHARED}");
            let examples = examples.unwrap_or_default();
            command
                .after_help(more.clone())
                .after_long_help(format!("{}\n\n{more}", examples.ansi()))
        })
    })
}

/// Returns the output of `--help-shared`, if the arguments of this process ask for it.
pub(crate) fn asked_for_shared() -> Option<StyledStr> {
    let arguments: Vec<OsString> = env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .collect();
    let flag = format!("--{SHARED}");
    if !arguments.iter().any(|argument| *argument == *flag) {
        return None;
    }
    let names = names(&whole());
    let named = names
        .iter()
        .find(|name| arguments.iter().any(|argument| *argument == ***name));
    let mut command = whole();
    command.build();
    let subcommand = command.find_subcommand(named?)?.clone();
    if !subcommand.get_arguments().any(is_shared) {
        return None;
    }
    let about = format!(
        "Options of `clif-inline {}` that other commands have too",
        named?
    );
    let mut subcommand = subcommand
        .about(about)
        .long_about(None)
        .after_help("")
        .after_long_help("")
        .mut_args(|arg| {
            let is_own = !is_shared(&arg);
            arg.hide(is_own)
        });
    Some(subcommand.render_long_help())
}

fn with_shared_flag(command: Command) -> Command {
    names(&command).iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            if !command.get_arguments().any(is_shared) {
                return command;
            }
            // Checked before parsing, since the command line may lack required arguments.
            let flag = Arg::new(SHARED).long(SHARED).action(ArgAction::SetTrue);
            let flag = flag.help_heading(None);
            command.arg(flag.help("Print the options that commands share"))
        })
    })
}

fn names(command: &Command) -> Vec<String> {
    let commands = command.get_subcommands();
    commands
        .map(|command| command.get_name().to_owned())
        .collect()
}

fn is_shared(arg: &Arg) -> bool {
    arg.get_help_heading().is_some()
}
