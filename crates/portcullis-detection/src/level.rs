//! Categories, severities, confidences, and the points they are worth.
//!
//! A rule's points come from two judgements its author makes separately: how bad it
//! would be if true, and how likely it is to be true. Everything that adds points up
//! lives here too, so that a printed score can be recomputed from printed parts.

/// Score from which a request counts as an attack, in points.
///
/// A guess, to be measured: one rule of medium severity and high confidence reaches it
/// alone, rules of less need company.
pub const BLOCK_LEVEL: u32 = 50;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in rules and outputs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value with that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What a rule is about.
    Category {
        /// SQL injection.
        Sqli = "sqli",
        /// Cross-site scripting.
        Xss = "xss",
        /// Command and code execution, template injection included.
        Rce = "rce",
        /// Local and remote file inclusion.
        Lfi = "lfi",
        /// Climbing out of a directory.
        Traversal = "traversal",
        /// Making the server fetch an address.
        Ssrf = "ssrf",
        /// JNDI lookups in anything that may be logged.
        Log4shell = "log4shell",
        /// A scanner or exploit tool that says so.
        ScannerUa = "scanner-ua",
        /// A file that should not be public.
        SensitiveFile = "sensitive-file",
        /// A backdoor someone may have left.
        Webshell = "webshell",
        /// Abuse of HTTP itself.
        Protocol = "protocol",
        /// Everything else, such as admin consoles and known exploits.
        Other = "other",
        /// Behaviour over time rather than one request.
        Rate = "rate",
    }
}

named! {
    /// How bad it is if the rule is right.
    Severity {
        /// A nuisance.
        Low = "low",
        /// Reconnaissance.
        Medium = "medium",
        /// An attack on data or code.
        High = "high",
        /// Full control, if it works.
        Critical = "critical",
    }
}

named! {
    /// How likely the rule is right when it fires.
    Confidence {
        /// Honest clients do this too.
        Low = "low",
        /// Honest clients do this rarely.
        Medium = "medium",
        /// Honest clients do not do this.
        High = "high",
    }
}

/// What one rule is worth: the severity's points times the confidence's share, rounded
/// down.
pub const fn points(severity: Severity, confidence: Confidence) -> u32 {
    let full = match severity {
        Severity::Low => 20,
        Severity::Medium => 50,
        Severity::High => 80,
        Severity::Critical => 100,
    };
    let percent = match confidence {
        Confidence::Low => 40,
        Confidence::Medium => 70,
        Confidence::High => 100,
    };
    full * percent / 100
}

/// The score of one request from the rules that fired on it, each given once: the sum of
/// their points, but of one category at most twice its highest rule.
///
/// Rules of one category often see the same trick from several sides; without the cap
/// ten weak views of one quote would weigh more than one certain exploit.
pub fn request_score(fired: impl IntoIterator<Item = (Category, u32)>) -> u32 {
    let mut sums = [(0_u32, 0_u32); Category::ALL.len()];
    for (category, points) in fired {
        let (sum, highest) = &mut sums[category as usize];
        *sum += points;
        *highest = points.max(*highest);
    }
    sums.iter().map(|(sum, highest)| (*sum).min(2 * highest)).sum()
}

/// What a rule that fired `times` times on one source adds to the source's score: its
/// points once, and once more for each doubling, at most four times.
pub fn source_points(points: u32, times: u64) -> u32 {
    points * repetition(times)
}

/// How many times over the points of a rule count that fired `times` times on one source.
pub fn repetition(times: u64) -> u32 {
    times.checked_ilog2().map_or(0, |doublings| (1 + doublings).min(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_the_rule_guide() {
        let worth = |severity: &str, confidence: &str| {
            points(
                Severity::from_name(severity).expect("a severity"),
                Confidence::from_name(confidence).expect("a confidence"),
            )
        };
        assert_eq!(worth("medium", "high"), 50);
        assert_eq!(worth("high", "medium"), 56);
        assert_eq!(worth("high", "low"), 32);
        assert_eq!(worth("medium", "medium"), 35);
        assert_eq!(worth("low", "low"), 8);
        assert_eq!(worth("critical", "high"), 100);
    }

    #[test]
    fn one_category_counts_at_most_twice_its_highest_rule() {
        let sqli = |points| (Category::Sqli, points);
        assert_eq!(request_score([sqli(20), sqli(20), sqli(20)]), 40);
        assert_eq!(request_score([sqli(80), sqli(32), sqli(20)]), 132);
        assert_eq!(request_score([sqli(80), (Category::Xss, 14)]), 94);
        assert_eq!(request_score([]), 0);
    }

    #[test]
    fn repetition_counts_by_doublings_up_to_four() {
        let series: Vec<u32> =
            [0, 1, 2, 3, 4, 7, 8, 1_000_000].map(|n| source_points(10, n)).to_vec();
        assert_eq!(series, [0, 10, 20, 20, 30, 30, 40, 40]);
    }

    #[test]
    fn names_round_trip() {
        for category in Category::ALL {
            assert_eq!(Category::from_name(category.name()), Some(*category));
        }
        assert_eq!(Category::from_name("SQLI"), None);
    }
}
