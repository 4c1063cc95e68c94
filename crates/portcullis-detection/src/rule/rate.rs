//! What a rule about behaviour over time is: by what requests are counted together, what is
//! measured of them, and in which window.
//!
//! Shapes only; how rates are counted is in [`crate::rate`].

use portcullis_ingest::Field;

use super::Conditions;
use crate::level::named;
use crate::rate::Key;

/// Behaviour over time, of one client or of all that share something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    pub(crate) by: Key,
    pub(crate) measure: Measure,
    pub(crate) threshold: u64,
    pub(crate) minimum: u32,
    pub(crate) window_seconds: u32,
    pub(crate) quiet_seconds: u32,
    pub(crate) conditions: Conditions,
}

/// Longest window that is exact to the second.
const LONGEST_EXACT_SECONDS: u32 = 3_600;

impl Rate {
    /// Most panes of a window over an hour: the resolution of a day is four minutes.
    pub const MOST_PANES: u32 = 360;

    /// By what requests are counted together.
    pub const fn by(&self) -> Key {
        self.by
    }

    /// What is measured.
    pub const fn measure(&self) -> Measure {
        self.measure
    }

    /// Least value in one window that fires, in the measure's unit; see [`Measure::unit`].
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// For [`Measure::ErrorShare`], the least number of errors in the window.
    pub const fn minimum(&self) -> u32 {
        self.minimum
    }

    /// Length of the window, in seconds.
    pub const fn window_seconds(&self) -> u32 {
        self.window_seconds
    }

    /// Bursts that follow each other in less than this are one, in seconds.
    pub const fn quiet_seconds(&self) -> u32 {
        self.quiet_seconds
    }

    /// Width of the panes that windows are made of, in seconds: 1 up to an hour. Longer
    /// windows begin at multiples of it and hold whole panes, so that what they measure is
    /// never more than the truth, and never less than that of a window one pane shorter.
    pub const fn pane_seconds(&self) -> u32 {
        if self.window_seconds <= LONGEST_EXACT_SECONDS {
            1
        } else {
            self.window_seconds.div_ceil(Self::MOST_PANES)
        }
    }

    /// Panes in one window.
    pub(crate) const fn panes(&self) -> u32 {
        self.window_seconds / self.pane_seconds()
    }

    /// Which requests are counted.
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}

named! {
    /// What a rate rule measures in a window, of the requests that meet its conditions.
    Measure {
        /// Requests.
        Count = "count",
        /// Different paths, as logged.
        DistinctPaths = "distinct-paths",
        /// Different routes.
        DistinctRoutes = "distinct-routes",
        /// Different objects of one route, of the route with the most. An object is a path
        /// on a route with a parameter (`/pets/{petId}`). Where the log has no route, or one
        /// that takes any path (`$default`, `{proxy+}`), it is a path with a segment that
        /// looks like an id: a number, a UUID, or at least 8 letters, digits and dashes with
        /// 4 digits; the path with those segments cut out stands for the route.
        DistinctObjects = "distinct-objects",
        /// Different `User-Agent` headers.
        DistinctAgents = "distinct-agents",
        /// Bytes of their responses.
        Bytes = "bytes",
        /// Their share of all requests of the key, in percent. Without a condition on
        /// statuses, the statuses from 400 up.
        ErrorShare = "error-share",
    }
}

impl Measure {
    /// The field that it reads, if any by itself.
    pub const fn field(self) -> Option<Field> {
        match self {
            Self::Count | Self::ErrorShare => None,
            Self::DistinctPaths | Self::DistinctObjects => Some(Field::Path),
            Self::DistinctRoutes => Some(Field::Route),
            Self::DistinctAgents => Some(Field::UserAgent),
            Self::Bytes => Some(Field::ResponseBytes),
        }
    }

    /// What follows a value of it in a sentence, from the space on.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Count => " requests",
            Self::DistinctPaths => " different paths",
            Self::DistinctRoutes => " different routes",
            Self::DistinctObjects => " different objects of one route",
            Self::DistinctAgents => " different user agents",
            Self::Bytes => " bytes",
            Self::ErrorShare => " % errors",
        }
    }

    /// What follows a limit of it, whose unit is known.
    pub const fn sign(self) -> &'static str {
        if matches!(self, Self::ErrorShare) { " %" } else { "" }
    }
}
