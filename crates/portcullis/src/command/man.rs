//! `portcullis man`: one manual page for the program and all its commands.

use clap::Command;
use clap_mangen::Man;

use crate::args;

/// The page, in roff.
pub(super) fn page() -> Vec<u8> {
    let mut command = args::command();
    command.build();
    let mut page = Vec::new();
    let memory = "writing to memory does not fail";
    Man::new(command.clone()).render(&mut page).expect(memory);
    for subcommand in command.get_subcommands() {
        section(&mut page, "portcullis", subcommand);
    }
    page
}

/// Adds a section for a command, and one for each command below it. `clap_mangen`
/// renders sections of their own for description and options; they become subsections here.
fn section(page: &mut Vec<u8>, parent: &str, command: &Command) {
    if command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    if command.has_subcommands() {
        for subcommand in command.get_subcommands() {
            section(page, &name, subcommand);
        }
        return;
    }
    page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    let memory = "writing to memory does not fail";
    man.render_synopsis_section(&mut text).expect(memory);
    man.render_description_section(&mut text).expect(memory);
    man.render_options_section(&mut text).expect(memory);
    man.render_extra_section(&mut text).expect(memory);
    let text = String::from_utf8(text).expect("help is UTF-8");
    page.extend_from_slice(text.replace(".SH ", ".SS ").as_bytes());
}
