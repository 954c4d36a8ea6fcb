//! What follows a fault a while later, and the agenda that remembers it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::fault::Link;
use crate::scene::Worker;

/// The second half of a fault.
#[derive(Debug)]
pub(super) enum Ending {
    Thaw(Worker),
    Scale(usize),
    ResumeBroker,
    ResumeStore {
        node: usize,
    },
    /// The server starts again with an older copy of its data.
    Restore {
        node: usize,
        copy: PathBuf,
    },
    /// The replica becomes the primary; the old one stays for connections on the route that is spared, for so long.
    FailOver {
        to: usize,
        spared: Option<(usize, Duration)>,
    },
    /// The old primary is gone for good.
    Retire {
        node: usize,
    },
    Heal {
        link: Link,
        route: usize,
    },
}

impl Ending {
    /// Whether it takes writes from the store that workers hold for stored.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Restore { .. } | Self::FailOver { .. } => true,
            Self::Thaw(_)
            | Self::Scale(_)
            | Self::ResumeBroker
            | Self::ResumeStore { .. }
            | Self::Retire { .. }
            | Self::Heal { .. } => false,
        }
    }

    /// Whether a server answers again after it.
    pub fn is_resumption(&self) -> bool {
        match self {
            Self::ResumeBroker | Self::ResumeStore { .. } => true,
            Self::Thaw(_)
            | Self::Scale(_)
            | Self::Restore { .. }
            | Self::FailOver { .. }
            | Self::Retire { .. }
            | Self::Heal { .. } => false,
        }
    }
}

/// Endings with their moments.
#[derive(Debug, Default)]
pub(super) struct Agenda(Vec<(Instant, Ending)>);

impl Agenda {
    pub fn add(&mut self, at: Instant, ending: Ending) {
        self.0.push((at, ending));
    }

    /// The next ending due before `until`, with its moment.
    pub fn next_before(&mut self, until: Instant) -> Option<(Instant, Ending)> {
        let due = self.0.iter().enumerate().filter(|(_, (moment, _))| *moment < until);
        let (at, _) = due.min_by_key(|(_, (moment, _))| *moment)?;
        Some(self.0.remove(at))
    }

    /// When the last of these is due.
    pub fn last(&self, these: impl Fn(&Ending) -> bool) -> Option<Instant> {
        self.0.iter().filter(|(_, ending)| these(ending)).map(|(moment, _)| *moment).max()
    }
}
