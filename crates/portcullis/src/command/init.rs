//! `portcullis init`: the files that set the whole pipeline up.
//!
//! What they hold is decided in `portcullis-setup`; this gathers the answers, from options
//! and on a terminal from a person, and writes the files or nothing: a setup that is half
//! new and half old would be applied as if it were one.

use std::fs;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::Path;

use portcullis_aws::disk;
use portcullis_setup::{Answers, File, RunnerAnswers, Setup, files};

use super::{inert, print};
use crate::args::{ApiKind, Init, Schedule, ScopeArgument, WebAcl};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::terminal::Terminal;

pub(super) fn run(arguments: &Init, terminal: &Terminal) -> Result<Exit, Failure> {
    let is_distributed = arguments.scope == ScopeArgument::CloudFront;
    if arguments.api == ApiKind::Http && !is_distributed {
        return Err(refused(
            "HTTP APIs can have neither a web ACL nor Firehose as the destination of their access \
             log",
        )
        .hint("put a CloudFront distribution before it, and give --scope CLOUDFRONT"));
    }
    if !is_distributed && arguments.distribution.is_some() {
        return Err(refused("--distribution is for --scope CLOUDFRONT, and this one is REGIONAL"));
    }
    let stage_options = [arguments.api_id.is_some(), arguments.stage.is_some()];
    if is_distributed && (stage_options.contains(&true) || arguments.leave_stage) {
        return Err(refused(
            "--api-id, --stage and --leave-stage are for --scope REGIONAL: behind a distribution, \
             no stage's log tells who the clients are",
        ));
    }
    let answers = if io::stdin().is_terminal() && io::stderr().is_terminal() {
        gather(arguments, &mut Asked { input: io::stdin().lock(), output: io::stderr() })?
    } else {
        gather(arguments, &mut NotAsked::default())?
    };
    let setup = Setup::new(&answers).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        refused(lines.join("\n"))
    })?;
    let files = files(&setup);
    if arguments.dry_run {
        let pages = files.iter().map(|file| format!("==> {} <==\n{}\n", file.path, file.text));
        print(pages.collect::<String>().as_bytes())?;
        terminal.next("the same without --dry-run writes these files");
        return Ok(Exit::Done);
    }
    write(&arguments.out, &files, arguments.force)?;
    let paths =
        files.iter().map(|file| arguments.out.join(&file.path).display().to_string() + "\n");
    print(paths.collect::<String>().as_bytes())?;
    let out = inert(&arguments.out.to_string_lossy());
    let image = if arguments.schedule == Schedule::Host {
        String::new()
    } else {
        format!(", build and push the image as {out}/Dockerfile says")
    };
    terminal.next(format_args!(
        "review them{image}, then: terraform -chdir={out}/terraform init && terraform \
         -chdir={out}/terraform apply; or deploy {out}/cloudformation/portcullis.json, and run the \
         command in its output"
    ));
    Ok(Exit::Done)
}

fn refused(detail: impl Into<String>) -> Failure {
    Failure::because("set up a pipeline", detail).exit_with(Exit::Usage)
}

/// Whoever can say what no option says.
trait Questions {
    /// The answer to a question. `option` would have given it.
    fn ask(&mut self, question: &str, option: &'static str) -> Result<String, Failure>;

    /// Whether all was answered.
    fn finish(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A person at a terminal.
struct Asked<Input, Output> {
    input: Input,
    output: Output,
}

impl<Input: BufRead, Output: Write> Questions for Asked<Input, Output> {
    fn ask(&mut self, question: &str, option: &'static str) -> Result<String, Failure> {
        let failed = |error: &io::Error| Failure::new("ask what is missing", error);
        let Self { input, output } = self;
        write!(output, "{question}: ").and_then(|()| output.flush()).map_err(|e| failed(&e))?;
        let mut line = String::new();
        if input.read_line(&mut line).map_err(|error| failed(&error))? == 0 {
            return Err(refused(format!("the answers ended before {option} was known")));
        }
        Ok(line.trim().to_owned())
    }
}

/// Nobody: what is missing is gathered, to be told at once.
#[derive(Default)]
struct NotAsked(Vec<&'static str>);

impl Questions for NotAsked {
    fn ask(&mut self, _: &str, option: &'static str) -> Result<String, Failure> {
        self.0.push(option);
        Ok(String::new())
    }

    fn finish(&self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let verb = if self.0.len() == 1 { "is" } else { "are" };
        Err(refused(format!("{} {verb} not given", self.0.join(", ")))
            .hint("on a terminal, init asks for what is missing"))
    }
}

fn gather(arguments: &Init, questions: &mut impl Questions) -> Result<Answers, Failure> {
    let mut one = |given: &Option<String>, question: &str, option| match given {
        Some(answer) => Ok(answer.clone()),
        None => questions.ask(question, option),
    };
    let name = one(&arguments.name, "Name of the setup, such as prod", "--name")?;
    let account = one(&arguments.account, "Number of the AWS account", "--account")?;
    let (mut api_id, mut stage, mut distribution) = Default::default();
    let region = match (&arguments.region, arguments.scope) {
        (None, ScopeArgument::CloudFront) => "us-east-1".to_owned(),
        (region, _) => one(region, "Region, such as eu-west-1", "--region")?,
    };
    match arguments.scope {
        ScopeArgument::CloudFront => {
            let question = "Id of the CloudFront distribution, such as E1A2B3C4D5E6F7";
            distribution = Some(one(&arguments.distribution, question, "--distribution")?);
        }
        ScopeArgument::Regional => {
            let question = "Id of the REST API, such as a1b2c3d4e5";
            api_id = one(&arguments.api_id, question, "--api-id")?;
            stage = one(&arguments.stage, "Name of its stage", "--stage")?;
        }
    }
    let runner = match arguments.schedule {
        Schedule::Host => RunnerAnswers::Host,
        Schedule::Lambda => RunnerAnswers::Lambda {
            image: one(&arguments.image, "Image of the functions, with a tag", "--image")?,
        },
        Schedule::Fargate => RunnerAnswers::Fargate {
            image: one(&arguments.image, "Image of the container, with a tag", "--image")?,
            subnets: several(
                &arguments.subnets,
                &mut one,
                ("Subnets of the container, with commas between them", "--subnet"),
            )?,
            security_groups: several(
                &arguments.security_groups,
                &mut one,
                ("Security groups of the container, with commas between them", "--security-group"),
            )?,
        },
    };
    let mut trusted = arguments.trusted.clone();
    if arguments.schedule == Schedule::Host && trusted.is_empty() {
        let question = "ARN of the role or user that the host runs as";
        trusted.push(one(&None, question, "--trust")?);
    }
    questions.finish()?;
    Ok(Answers {
        name,
        account,
        region,
        api_id,
        stage,
        distribution,
        mode: arguments.mode,
        has_web_acl: arguments.web_acl == WebAcl::Existing,
        leaves_stage: arguments.leave_stage,
        never_block: arguments.never_block.clone(),
        trusted,
        alarm_email: arguments.alarm_email.clone(),
        keep_days: arguments.keep_logs,
        every_minutes: arguments.every,
        since_hours: arguments.since,
        watches: arguments.watch,
        runner,
    })
}

/// A list, given or asked for.
fn several(
    given: &[String],
    one: &mut impl FnMut(&Option<String>, &str, &'static str) -> Result<String, Failure>,
    (question, option): (&str, &'static str),
) -> Result<Vec<String>, Failure> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let answer = one(&None, question, option)?;
    let ids = answer.split(',').map(str::trim).filter(|id| !id.is_empty());
    Ok(ids.map(str::to_owned).collect())
}

/// Writes all files, or none because of one that is there.
fn write(directory: &Path, files: &[File], force: bool) -> Result<(), Failure> {
    let there: Vec<&str> = files
        .iter()
        .filter(|file| !force && fs::symlink_metadata(directory.join(&file.path)).is_ok())
        .map(|file| file.path.as_str())
        .collect();
    if let Some(first) = there.first() {
        let directory = inert(&directory.to_string_lossy());
        let more = match there.len() - 1 {
            0 => String::new(),
            more => format!(" and {}", counted(more as u64, "other file", "other files")),
        };
        return Err(Failure::because(
            format!("write to `{directory}`"),
            format!("`{first}`{more} would be written over; nothing was written"),
        )
        .hint("choose another --out, or give --force to write over them"));
    }
    for file in files {
        let path = directory.join(&file.path);
        let folder = path.parent().unwrap_or(directory);
        fs::create_dir_all(folder).and_then(|()| disk::replace(&path, &file.text)).map_err(
            |error| Failure::new(format!("write `{}`", inert(&path.to_string_lossy())), &error),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn init(options: &[&str]) -> Init {
        let words = ["portcullis", "init"].iter().chain(options);
        match Arguments::try_parse_from(words).expect("good options").command {
            Command::Init(init) => init,
            _ => panic!("init was asked for"),
        }
    }

    #[test]
    fn a_person_is_asked_for_what_no_option_says() {
        let arguments = init(&["--name=prod", "--region=eu-west-1", "--image=x/y:1"]);
        let typed = "111122223333\na1b2c3d4e5\n live \nsubnet-1, subnet-2\nsg-1\n";
        let mut output = Vec::new();
        let mut asked = Asked { input: typed.as_bytes(), output: &mut output };
        let answers = gather(&arguments, &mut asked).expect("all is answered");
        assert_eq!(answers.account, "111122223333");
        assert_eq!((&*answers.api_id, &*answers.stage), ("a1b2c3d4e5", "live"));
        let RunnerAnswers::Fargate { subnets, security_groups, .. } = answers.runner else {
            panic!("Fargate is the default");
        };
        assert_eq!(subnets, ["subnet-1", "subnet-2"]);
        assert_eq!(security_groups, ["sg-1"]);
        let questions = String::from_utf8(output).expect("UTF-8");
        assert_eq!(questions.matches(": ").count(), 5, "{questions}");
        assert!(questions.starts_with("Number of the AWS account: "), "{questions}");
    }

    #[test]
    fn answers_that_end_too_early_name_what_is_missing() {
        let arguments = init(&["--name=prod"]);
        let mut asked = Asked { input: "111122223333\n".as_bytes(), output: Vec::new() };
        let failure = gather(&arguments, &mut asked).expect_err("the region is missing");
        assert!(failure.message().contains("before --region was known"), "{}", failure.message());
    }
}
