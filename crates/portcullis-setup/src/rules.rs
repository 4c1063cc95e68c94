//! Which rules use the sets, and in which order AWS WAF evaluates them.
//!
//! Rules are evaluated by priority, the lowest number first, and the first one that
//! blocks or allows ends it. A rule that counts does not. So the canary rules come before
//! those that block, to see every request, and all of them come before whatever allows
//! broadly: an allowed request is blocked by nobody after.
//!
//! Source: AWS WAF guide, "Processing order of rules and rule groups in a web ACL".

use crate::names::{SETS, Set};

/// A rule that uses one set.
pub(crate) struct Rule {
    /// Evaluated in ascending order; unique in the web ACL.
    pub(crate) priority: u32,
    /// Whether it blocks. Otherwise it counts.
    pub(crate) blocks: bool,
    /// Ending of its name and of its metric's.
    pub(crate) ending: &'static str,
    /// What it looks into.
    pub(crate) set: &'static Set,
}

/// Web ACL capacity units of the rules: one for each that matches one IP set.
pub(crate) const CAPACITY: u32 = 4;

/// The rules, in the order of their evaluation.
pub(crate) fn rules() -> [Rule; 4] {
    let [v4, v6, canary_v4, canary_v6] = &SETS;
    [
        Rule { priority: 0, blocks: false, ending: "count-canary-v4", set: canary_v4 },
        Rule { priority: 1, blocks: false, ending: "count-canary-v6", set: canary_v6 },
        Rule { priority: 2, blocks: true, ending: "block-v4", set: v4 },
        Rule { priority: 3, blocks: true, ending: "block-v6", set: v6 },
    ]
}
