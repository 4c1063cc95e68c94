//! Which heading of a command's help each option stands under.
//!
//! clap puts whatever is declared after a group of options under that group's heading too,
//! so that `--queue` stood under "Reporting". Headings are therefore given here, by name, when
//! all options are declared; what is named nowhere is the command's own and comes first.

use std::ffi::OsStr;

use clap::{Arg, ColorChoice, Command, CommandFactory as _, FromArgMatches as _};

use super::Arguments;

const HEADINGS: [(&str, &[&str]); 7] = [
    ("Span of time", &["since", "from", "to"]),
    ("From run to run", &["state", "lookback"]),
    ("What is known of addresses", &["mmdb", "reputation", "assets"]),
    (
        "Target",
        &[
            "target",
            "account",
            "scope",
            "sets",
            "canary_sets",
            "ledger",
            "mode",
            "halt",
            "take_lease",
        ],
    ),
    ("AWS", &["profile", "assume_role", "source_role", "region", "endpoint_url", "requester_pays"]),
    ("Reporting", &["metrics", "emf", "webhook_file", "topic"]),
    ("Every command", &["color", "quiet", "verbose", "log", "no_progress", "config"]),
];

/// The command line, as its help is to show it.
pub fn command() -> Command {
    arranged(Arguments::command())
}

/// What was asked for.
pub fn parse() -> Result<Arguments, clap::Error> {
    // A word that is no Unicode is a file's name, and no `--color`.
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let mut matches = command().color(colour(words)).try_get_matches()?;
    Arguments::from_arg_matches_mut(&mut matches)
}

/// The colour that the words of a command line ask for, whether or not they can be understood:
/// what is wrong with them is said in it.
fn colour(words: impl Iterator<Item = String>) -> ColorChoice {
    let mut choice = ColorChoice::Auto;
    let mut words = words.take_while(|word| word != "--");
    while let Some(word) = words.next() {
        let asked = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        choice = match asked.as_deref() {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            Some("auto") => ColorChoice::Auto,
            _ => choice,
        };
    }
    choice
}

/// A variable that is empty says nothing, as pipelines and service managers set them.
fn without_empty_variable(argument: Arg) -> Arg {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if argument.get_env().is_some_and(is_empty) { argument.env(None) } else { argument }
}

fn arranged(command: Command) -> Command {
    // What a setup is made of is asked for, and is no group beside the rest.
    let is_setup = command.get_name() == "init";
    let command = command.mut_args(|argument| {
        let heading = heading_of(argument.get_id().as_str());
        let heading = heading.filter(|heading| !is_setup || *heading == "Every command");
        without_empty_variable(argument.help_heading(heading))
    });
    command.mut_subcommands(arranged)
}

fn heading_of(id: &str) -> Option<&'static str> {
    HEADINGS.iter().find(|(_, ids)| ids.contains(&id)).map(|(heading, _)| *heading)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_under_a_heading_is_an_option() {
        fn collect(command: &Command, ids: &mut BTreeSet<String>) {
            ids.extend(command.get_arguments().map(|argument| argument.get_id().to_string()));
            command.get_subcommands().for_each(|command| collect(command, ids));
        }
        let (mut command, mut ids) = (command(), BTreeSet::new());
        command.build();
        collect(&command, &mut ids);
        for id in HEADINGS.iter().flat_map(|(_, ids)| *ids) {
            assert!(ids.contains(*id), "{id} is no option");
        }
    }

    #[test]
    fn the_options_of_watch_stand_where_they_are_looked_for() {
        let command = command();
        let watch = command.find_subcommand("watch").expect("a command");
        let heading = |id: &str| {
            let argument = watch.get_arguments().find(|argument| argument.get_id() == id);
            argument.expect("an option").get_help_heading()
        };
        assert_eq!(heading("queue"), None);
        assert_eq!(heading("never_block"), None);
        assert_eq!(heading("no_expire"), None);
        assert_eq!(heading("topic"), Some("Reporting"));
        assert_eq!(heading("source_role"), Some("AWS"));
    }
}
