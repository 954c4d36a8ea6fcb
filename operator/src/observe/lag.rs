//! The place of one pipeline in the lag monitor, through changes of its source and its credentials.

use std::time::Duration;

use plaudit_worker::security::{KafkaCredentials, SecurityError};

use super::Trouble;
use super::kafka::{Monitors, Watch};
use super::source::{SourceState, fresh};
use crate::pipeline::Pipeline;

/// What is asked about a pipeline's topic and group.
#[derive(Debug)]
pub struct LagWatch {
    /// Which source it is about.
    source: String,
    current: Watch,
    /// Kafka has answered to its credentials.
    proven: bool,
    /// With newer credentials, which have not proven good yet: until then the old ones go on.
    next: Option<Watch>,
}

impl LagWatch {
    /// What is known of the topic now, and what is wrong with newer credentials. Begins to watch what is new, and tells `begun` of it.
    pub fn look(
        watched: &mut Option<Self>,
        monitors: &Monitors,
        pipeline: &Pipeline,
        credentials: &Result<KafkaCredentials, SecurityError>,
        mut begun: impl FnMut(&Watch),
    ) -> (SourceState, Option<Trouble>) {
        let period = monitors.settings().period;
        let source = &pipeline.source;
        let source = format!("{} {} {}", source.bootstrap_servers, source.topic, source.consumer_group);
        if watched.as_ref().is_some_and(|watched| watched.source != source) {
            *watched = None;
        }
        let mut begin = |credentials: &KafkaCredentials| {
            let watch = monitors.watch(pipeline, credentials.clone());
            begun(&watch);
            watch
        };
        match (watched.as_mut(), credentials) {
            (None, Err(error)) => (failed(error), None),
            (None, Ok(credentials)) => {
                let current = begin(credentials);
                let watched = watched.insert(Self { source, current, proven: false, next: None });
                (watched.state(period), None)
            }
            (Some(watched), Err(error)) => (watched.state(period), Some(Trouble::from(error))),
            (Some(watched), Ok(credentials)) => {
                if watched.current.is_with(credentials) {
                    watched.next = None;
                } else if watched.next.as_ref().is_none_or(|next| !next.is_with(credentials)) {
                    watched.next = Some(begin(credentials));
                }
                watched.take_next(period)
            }
        }
    }

    /// The credentials that it goes by: those that have worked last, or the first ones.
    #[must_use]
    pub fn credentials(&self) -> &KafkaCredentials {
        self.current.credentials()
    }

    /// True once Kafka has answered to these credentials.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// The group's workers were changed: its members are looked at for a while, whatever its lag.
    pub fn look_closer(&self) {
        self.current.look_closer();
    }

    fn state(&mut self, period: Duration) -> SourceState {
        let (state, age) = self.current.last();
        self.proven |= matches!(state, SourceState::Found(_));
        fresh(state, age, period)
    }

    fn take_next(&mut self, period: Duration) -> (SourceState, Option<Trouble>) {
        let Some(next) = self.next.take() else { return (self.state(period), None) };
        match next.last().0 {
            SourceState::Found(_) => {
                self.current = next;
                (self.state(period), None)
            }
            SourceState::NotAsked => {
                self.next = Some(next);
                (self.state(period), None)
            }
            SourceState::Failed { reason, message } => {
                self.next = Some(next);
                let message = format!("new credentials do not work: {message}");
                (self.state(period), Some(Trouble { reason: reason.to_owned(), message }))
            }
        }
    }
}

fn failed(SecurityError { reason, message }: &SecurityError) -> SourceState {
    SourceState::Failed { reason, message: message.clone() }
}
