//! What has to be known about an API and its account, checked before anything is written.
//!
//! Every answer ends up in several languages: HCL, JSON, shell, systemd, cron, TOML. Each
//! has its own quoting, and text that is harmless in one acts in another. So an answer is
//! accepted only in the alphabet that AWS itself gives to such a name, which holds no
//! quote, blank, line feed, `$`, `%` or `;`. Quoting is then the second line of defence
//! and not the first.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Deserialize;

use crate::front::{Front, GLOBAL_REGION};

/// Answers as people give them.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Name of the setup, such as `prod`.
    pub name: String,
    /// Number of the AWS account.
    pub account: String,
    /// Code of the region.
    pub region: String,
    /// Id of the REST API.
    pub api_id: String,
    /// Name of the stage.
    pub stage: String,
    /// Id of a CloudFront distribution by which requests come in; neither API nor stage is
    /// asked for then.
    pub distribution: Option<String>,
    /// How far blocks are made without a person.
    pub mode: Mode,
    /// Whether the stage has a web ACL already, so that a rule group is made for it.
    pub has_web_acl: bool,
    /// Whether the stage's log setting is left to whoever manages the stage.
    pub leaves_stage: bool,
    /// Networks that are never blocked.
    pub never_block: Vec<IpNet>,
    /// ARNs of roles or users that may assume the three roles.
    pub trusted: Vec<String>,
    /// Where the alarm is sent.
    pub alarm_email: Option<String>,
    /// Days that logs are kept.
    pub keep_days: u32,
    /// Minutes between two runs.
    pub every_minutes: u32,
    /// Hours of logs over which each run decides.
    pub since_hours: u32,
    /// Whether objects are read as they arrive, told by a queue.
    pub watches: bool,
    /// What runs the program.
    pub runner: RunnerAnswers,
}

/// What runs the program, as people say it.
#[derive(Debug, Clone, Default)]
pub enum RunnerAnswers {
    /// A machine of their own: systemd, cron, a build server.
    #[default]
    Host,
    /// Fargate.
    Fargate {
        /// The container's image.
        image: String,
        /// Subnets that reach AWS and the image.
        subnets: Vec<String>,
        /// Security groups that let calls out.
        security_groups: Vec<String>,
    },
    /// AWS Lambda.
    Lambda {
        /// The functions' image.
        image: String,
    },
}

/// How far a target is trusted to change without a person; the modes of `portcullis.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is put into a set: plans are made and shown.
    #[default]
    Observe,
    /// Only a plan whose hash a person names is carried out.
    Suggest,
    /// Plans are carried out on the canary sets, which a rule that counts uses.
    Canary,
    /// Plans are carried out, by schedule too.
    Enforce,
}

impl Mode {
    /// Every mode, from the least trusted.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Suggest, Self::Canary, Self::Enforce];

    /// The mode's name in `portcullis.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Suggest => "suggest",
            Self::Canary => "canary",
            Self::Enforce => "enforce",
        }
    }

    /// Whether the schedule carries plans out.
    pub(crate) const fn applies(self) -> bool {
        matches!(self, Self::Canary | Self::Enforce)
    }
}

/// What runs the program, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// A machine of their own.
    Host,
    /// Fargate.
    Fargate {
        /// The container's image.
        image: String,
        /// Subnets, sorted.
        subnets: Vec<String>,
        /// Security groups, sorted.
        security_groups: Vec<String>,
    },
    /// AWS Lambda.
    Lambda {
        /// The functions' image.
        image: String,
    },
}

/// Answers that were checked: whatever is made of them is well-formed.
///
/// Invariant: every text is of the alphabet that AWS gives to its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) front: Front,
    pub(crate) mode: Mode,
    pub(crate) has_web_acl: bool,
    pub(crate) leaves_stage: bool,
    pub(crate) never_block: Vec<IpNet>,
    pub(crate) trusted: Vec<String>,
    pub(crate) alarm_email: Option<String>,
    pub(crate) keep_days: u32,
    pub(crate) every_minutes: u32,
    pub(crate) since_hours: u32,
    pub(crate) watches: bool,
    pub(crate) runner: Runner,
}

/// An answer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The text is not what such a thing is called.
    #[error("`{}` is no {what}: expected {expected}", given.escape_default())]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What was given.
        given: String,
        /// What it looks like.
        expected: &'static str,
    },
    /// Blocking by itself, and nobody is protected from it.
    #[error(
        "mode `{}` blocks without a person, and no network of yours is kept out: name your own \
         addresses and those of your partners to be never blocked", .0.name()
    )]
    NobodyProtected(Mode),
    /// Nobody could assume the roles.
    #[error(
        "on a host of yours nobody could use the roles: name the role or user it runs as to be \
         trusted"
    )]
    NobodyTrusted,
    /// Lambda could not fetch the image.
    #[error(
        "Lambda runs images of Amazon ECR in its own region, such as \
         111122223333.dkr.ecr.{region}.amazonaws.com/portcullis:0.1.0, and not `{image}`"
    )]
    ImageElsewhere {
        /// What was given.
        image: String,
        /// The functions' region.
        region: String,
    },
    /// A list that needs an entry has none.
    #[error("Fargate needs at least one {0}")]
    Missing(&'static str),
}

impl Setup {
    /// Checks the answers, all of them, so that one try shows every mistake.
    pub fn new(answers: &Answers) -> Result<Self, Vec<AnswerError>> {
        let mut errors = Vec::new();
        let mut check = |kind: &Kind, given: &str| {
            if (kind.accepts)(given) {
                return;
            }
            errors.push(AnswerError::Malformed {
                what: kind.what,
                given: given.to_owned(),
                expected: kind.expected,
            });
        };
        check(&NAME, &answers.name);
        check(&ACCOUNT, &answers.account);
        check(&REGION, &answers.region);
        if let Some(id) = &answers.distribution {
            check(&DISTRIBUTION, id);
            check(&REGION_OF_CLOUDFRONT, &answers.region);
        } else {
            check(&API_ID, &answers.api_id);
            check(&STAGE, &answers.stage);
        }
        check(&KEEP_DAYS, &answers.keep_days.to_string());
        check(&EVERY_MINUTES, &answers.every_minutes.to_string());
        check(&SINCE_HOURS, &answers.since_hours.to_string());
        answers.trusted.iter().for_each(|arn| check(&PRINCIPAL, arn));
        answers.alarm_email.iter().for_each(|email| check(&EMAIL, email));
        match &answers.runner {
            RunnerAnswers::Fargate { image, subnets, security_groups } => {
                check(&IMAGE, image);
                for id in subnets {
                    check(&SUBNET, id);
                }
                for id in security_groups {
                    check(&SECURITY_GROUP, id);
                }
                if subnets.is_empty() {
                    errors.push(AnswerError::Missing("subnet"));
                }
                if security_groups.is_empty() {
                    errors.push(AnswerError::Missing("security group"));
                }
            }
            RunnerAnswers::Lambda { image } => {
                check(&IMAGE, image);
                if !image.contains(&format!(".dkr.ecr.{}.", answers.region)) {
                    let (image, region) = (image.clone(), answers.region.clone());
                    errors.push(AnswerError::ImageElsewhere { image, region });
                }
            }
            RunnerAnswers::Host => {
                if answers.trusted.is_empty() {
                    errors.push(AnswerError::NobodyTrusted);
                }
            }
        }
        if answers.mode.applies() && answers.never_block.is_empty() {
            errors.push(AnswerError::NobodyProtected(answers.mode));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let runner = match &answers.runner {
            RunnerAnswers::Host => Runner::Host,
            RunnerAnswers::Fargate { image, subnets, security_groups } => Runner::Fargate {
                image: image.clone(),
                subnets: sorted(subnets),
                security_groups: sorted(security_groups),
            },
            RunnerAnswers::Lambda { image } => Runner::Lambda { image: image.clone() },
        };
        let front = match &answers.distribution {
            Some(id) => Front::Distribution { id: id.clone() },
            None => Front::Stage { api_id: answers.api_id.clone(), stage: answers.stage.clone() },
        };
        let networks: BTreeSet<IpNet> = answers.never_block.iter().map(IpNet::trunc).collect();
        Ok(Self {
            name: answers.name.clone(),
            account: answers.account.clone(),
            region: answers.region.clone(),
            front,
            mode: answers.mode,
            has_web_acl: answers.has_web_acl,
            leaves_stage: answers.leaves_stage,
            never_block: networks.into_iter().collect(),
            trusted: sorted(&answers.trusted),
            alarm_email: answers.alarm_email.clone(),
            keep_days: answers.keep_days,
            every_minutes: answers.every_minutes,
            since_hours: answers.since_hours,
            watches: answers.watches,
            runner,
        })
    }
}

impl Setup {
    /// How long a run may take: four fifths of the time to the next, so that the two do not
    /// meet. A whole number, because every accepted schedule is a multiple of 5.
    pub(crate) const fn deadline_minutes(&self) -> u32 {
        self.every_minutes / 5 * 4
    }
}

fn sorted(texts: &[String]) -> Vec<String> {
    let set: BTreeSet<&String> = texts.iter().collect();
    set.into_iter().cloned().collect()
}

/// A kind of answer: its alphabet and how it is explained.
struct Kind {
    what: &'static str,
    expected: &'static str,
    accepts: fn(&str) -> bool,
}

/// Short, because the longest name made of it is a bucket's, 63 characters.
const NAME: Kind = Kind {
    what: "name for a setup",
    expected: "1 to 16 lower-case letters, digits and inner hyphens, such as `prod`",
    accepts: |text| {
        is_of(text, 1..=16, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
    },
};

const ACCOUNT: Kind = Kind {
    what: "account",
    expected: "the 12 digits of an AWS account, such as 111122223333",
    accepts: |text| is_of(text, 12..=12, |b| b.is_ascii_digit()),
};

const REGION: Kind = Kind {
    what: "region",
    expected: "a region's code of at most 14 characters, such as eu-west-1",
    accepts: |text| {
        let mut parts = text.split('-');
        let is_word = |part: &str| is_of(part, 2..=10, |b| b.is_ascii_lowercase());
        let number =
            parts.next_back().is_some_and(|part| is_of(part, 1..=1, |b| b.is_ascii_digit()));
        let words: Vec<&str> = parts.collect();
        text.len() <= 14 && number && words.len() >= 2 && words.into_iter().all(is_word)
    },
};

const API_ID: Kind = Kind {
    what: "REST API",
    expected: "its id of lower-case letters and digits, such as a1b2c3d4e5",
    accepts: |text| is_of(text, 1..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit()),
};

/// Source: API Gateway, "Stage name ... can only contain alphanumeric characters, hyphens,
/// and underscores. Maximum length is 128 characters."
const STAGE: Kind = Kind {
    what: "stage",
    expected: "1 to 128 letters, digits, `-` and `_`, such as prod",
    accepts: |text| is_of(text, 1..=128, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
};

const DISTRIBUTION: Kind = Kind {
    what: "distribution",
    expected: "its id of capital letters and digits, such as E1A2B3C4D5E6F7",
    accepts: |text| {
        is_of(text, 8..=32, |b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && text.starts_with('E')
    },
};

const REGION_OF_CLOUDFRONT: Kind = Kind {
    what: "region for a distribution's sets, web ACL and log",
    expected: "us-east-1, where AWS keeps them wherever the API is",
    accepts: |text| text == GLOBAL_REGION,
};

const SUBNET: Kind = Kind {
    what: "subnet",
    expected: "an id such as subnet-0a1b2c3d4e5f67890",
    accepts: |text| is_resource_id(text, "subnet-"),
};

const SECURITY_GROUP: Kind = Kind {
    what: "security group",
    expected: "an id such as sg-0a1b2c3d4e5f67890",
    accepts: |text| is_resource_id(text, "sg-"),
};

const IMAGE: Kind = Kind {
    what: "image",
    expected: "a repository with a tag or digest, such as \
               111122223333.dkr.ecr.eu-west-1.amazonaws.com/portcullis:0.1.0",
    accepts: |text| {
        let is_plain =
            is_of(text, 3..=255, |b| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b));
        // A registry may have a port, so the tag is what follows the last part.
        let last = text.rsplit('/').next().unwrap_or_default();
        is_plain
            && last
                .split_once([':', '@'])
                .is_some_and(|(name, tag)| !name.is_empty() && !tag.is_empty() && tag != "latest")
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    },
};

const PRINCIPAL: Kind = Kind {
    what: "principal",
    expected: "the ARN of a role or user, such as arn:aws:iam::111122223333:role/scanner",
    accepts: |text| {
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, "iam", "", account, resource] = parts.as_slice() else {
            return false;
        };
        let path = resource.strip_prefix("role/").or_else(|| resource.strip_prefix("user/"));
        *arn == "arn"
            && ["aws", "aws-cn", "aws-us-gov"].contains(partition)
            && (ACCOUNT.accepts)(account)
            && path.is_some_and(|path| {
                is_of(path, 1..=512, |b| b.is_ascii_alphanumeric() || b"/_+=,.@-".contains(&b))
            })
    },
};

const EMAIL: Kind = Kind {
    what: "mail address",
    expected: "an address such as oncall@example.com",
    accepts: |text| {
        let is_part =
            |part: &str| is_of(part, 1..=64, |b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
        text.split_once('@').is_some_and(|(local, domain)| {
            is_part(local) && is_part(domain) && domain.contains('.')
        })
    },
};

const KEEP_DAYS: Kind = Kind {
    what: "number of days to keep logs",
    expected: "1 to 3650",
    accepts: |text| text.parse::<u32>().is_ok_and(|days| (1..=3650).contains(&days)),
};

/// A task takes about a minute to start. Cron lines and alarms want divisors of an hour.
const EVERY_MINUTES: Kind = Kind {
    what: "number of minutes between runs",
    expected: "5, 10, 15, 20, 30 or 60",
    accepts: |text| ["5", "10", "15", "20", "30", "60"].contains(&text),
};

const SINCE_HOURS: Kind = Kind {
    what: "number of hours to look back",
    expected: "1 to 48",
    accepts: |text| text.parse::<u32>().is_ok_and(|hours| (1..=48).contains(&hours)),
};

fn is_of(text: &str, lengths: std::ops::RangeInclusive<usize>, accepts: fn(u8) -> bool) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(accepts)
}

fn is_resource_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|id| is_of(id, 8..=17, |b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
