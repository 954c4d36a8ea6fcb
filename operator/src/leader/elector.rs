//! The elector: does what [`Machine`] says, and tells whether it leads.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::lease::{Changes, LeaseError, Leases};
use super::machine::{Loss, Machine, Step};
use super::record::Record;
use super::term::Term;
use super::times::Times;

/// Between two log lines that say the same trouble again.
const QUIET: Duration = Duration::from_secs(30);
/// Reads and writes that giving the Lease back may take: one of each, and once more after a conflict.
const RELEASE_STEPS: usize = 4;

/// One candidate, before it stands.
#[derive(Debug)]
pub struct Elector<L> {
    leases: L,
    machine: Machine,
    times: Times,
    identity: String,
}

/// What an elector says of itself.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// The API server has not answered yet.
    Starting,
    /// Another leads, or nobody yet.
    Standby,
    /// This one leads.
    Leading(Term),
    /// This one led, and no longer does. It does not stand again: the process has to end.
    Lost(Loss),
}

/// A candidate that stands. Dropped, it stops without giving the Lease back, as a crash would.
#[derive(Debug)]
pub struct Candidacy {
    leadership: watch::Receiver<Leadership>,
    resign: CancellationToken,
    task: JoinHandle<()>,
}

impl Candidacy {
    /// What the elector says of itself. It closes when the elector ended; whoever led then has lost.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Gives the Lease back if it is held, so that another need not wait. To be called when everything that led has ended.
    pub async fn resign(mut self) {
        self.resign.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<L: Leases> Elector<L> {
    /// A candidate named `identity` for the Lease `name`, which `leases` keeps. No two candidacies may share an identity.
    pub fn new(leases: L, name: &str, identity: String, times: Times) -> Self {
        Self { leases, machine: Machine::new(name, identity.clone(), times), times, identity }
    }

    /// Stands until it resigns or has led and lost.
    pub fn stand(self) -> Candidacy {
        let (says, leadership) = watch::channel(Leadership::Starting);
        let resign = CancellationToken::new();
        let epoch = Instant::now();
        let running = Running {
            elector: self,
            epoch,
            term: Term::new(epoch),
            says,
            changes: None,
            warned: None,
            standing_by: None,
        };
        let task = tokio::spawn(running.run(resign.clone()));
        Candidacy { leadership, resign, task }
    }
}

struct Running<L> {
    elector: Elector<L>,
    epoch: Instant,
    term: Term,
    says: watch::Sender<Leadership>,
    /// Only while standing by: a leader is the one who changes the Lease.
    changes: Option<Changes>,
    warned: Option<Instant>,
    /// The holder that a log line named last.
    standing_by: Option<String>,
}

impl<L> Drop for Running<L> {
    /// However the elector ends: nobody goes on leading.
    fn drop(&mut self) {
        self.term.give_up();
    }
}

impl<L: Leases> Running<L> {
    async fn run(mut self, resign: CancellationToken) {
        loop {
            let step = self.elector.machine.step(self.now(), Timestamp::now());
            if let Step::Lost(loss) = step {
                self.term.give_up();
                tracing::error!(identity = self.elector.identity, reason = loss.reason(), %loss, "leadership lost");
                self.says.send_replace(Leadership::Lost(loss));
                return;
            }
            tokio::select! {
                biased;
                () = resign.cancelled() => break,
                () = self.act(step) => self.tell(),
            }
        }
        self.term.give_up();
        // Bounded like an attempt to take the Lease: whoever waits for this process has waited enough.
        let _ = timeout(self.elector.times.retry, self.release()).await;
    }

    async fn act(&mut self, step: Step) {
        match step {
            Step::Read => self.read().await,
            Step::Write(record) => self.write(&record).await,
            Step::Wait(until) => self.wait(until).await,
            // Handled where steps come from.
            Step::Lost(_) => {}
        }
    }

    async fn read(&mut self) {
        match in_time(self.patience(), self.elector.leases.read()).await {
            Ok(record) => {
                let now = self.now();
                self.elector.machine.saw(record, now);
            }
            Err(error) => self.failed(&error, "could not read the lease"),
        }
    }

    async fn write(&mut self, record: &Record) {
        let sent = self.now();
        self.elector.machine.sends(record);
        match in_time(self.patience(), self.elector.leases.write(record)).await {
            Ok(record) => {
                let now = self.now();
                self.elector.machine.stored(record, sent, now, fastrand::f64());
            }
            Err(error) => self.failed(&error, "could not write the lease"),
        }
    }

    /// Until the moment has come, or the Lease has changed.
    async fn wait(&mut self, until: Duration) {
        let machine = &self.elector.machine;
        if machine.deadline().is_some() {
            self.changes = None;
        } else if self.changes.is_none() && machine.is_fresh() {
            self.changes = machine.version().map(|version| self.elector.leases.changes(version));
        }
        let next = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            change = next => match change {
                Some(Ok(record)) => {
                    let now = self.now();
                    self.elector.machine.saw(record, now);
                }
                // Broken, or ended by the server, as each watch is after some minutes: look, and watch anew.
                Some(Err(error)) => {
                    self.changes = None;
                    self.failed(&error, "could not watch the lease");
                }
                None => {
                    self.changes = None;
                    let now = self.now();
                    self.elector.machine.failed(now, fastrand::f64());
                }
            },
            () = tokio::time::sleep_until(self.epoch + until) => {
                // A watch that said nothing for so long may be dead.
                if self.elector.machine.is_silent(self.now()) {
                    self.changes = None;
                }
            }
        }
    }

    /// Gives the Lease back, if it is held.
    async fn release(&mut self) {
        for _ in 0..RELEASE_STEPS {
            match self.elector.machine.release(Timestamp::now()) {
                Some(Step::Read) => self.read().await,
                Some(Step::Write(record)) => match self.elector.leases.write(&record).await {
                    Ok(_) => {
                        tracing::info!(identity = self.elector.identity, "lease given back");
                        return;
                    }
                    Err(error) => self.failed(&error, "could not give the lease back"),
                },
                Some(Step::Wait(_) | Step::Lost(_)) | None => return,
            }
        }
    }

    /// Tells others what this elector is now.
    fn tell(&mut self) {
        let machine = &self.elector.machine;
        let leads_already = matches!(*self.says.borrow(), Leadership::Leading(_));
        if let Some(deadline) = machine.deadline() {
            self.term.renew(deadline);
            if !leads_already {
                tracing::info!(identity = self.elector.identity, "leading");
                self.says.send_replace(Leadership::Leading(self.term.clone()));
            }
            return;
        }
        if !machine.has_heard() {
            return;
        }
        let holder = machine.holder().map(str::to_owned);
        if holder.is_some() && holder != self.standing_by {
            tracing::info!(identity = self.elector.identity, holder, "standing by");
            self.standing_by = holder;
        }
        self.says.send_if_modified(|leadership| {
            let is_first = matches!(leadership, Leadership::Starting);
            if is_first {
                *leadership = Leadership::Standby;
            }
            is_first
        });
    }

    fn failed(&mut self, error: &LeaseError, what: &'static str) {
        let now = self.now();
        self.elector.machine.failed(now, fastrand::f64());
        match error {
            // That is how an election works.
            LeaseError::Conflict => tracing::debug!("{what}: another write came first"),
            LeaseError::Unanswered { .. } | LeaseError::Failed(_) => {
                if self.warned.is_none_or(|warned| warned.elapsed() >= QUIET) {
                    self.warned = Some(Instant::now());
                    let cause = std::error::Error::source(error).map(ToString::to_string);
                    tracing::warn!(identity = self.elector.identity, %error, cause, "{what}");
                }
            }
        }
    }

    /// How long the next request may take: a leader does not wait beyond its term.
    fn patience(&self) -> Duration {
        let left = self.elector.machine.deadline().map(|deadline| deadline.saturating_sub(self.now()));
        self.elector.times.request().min(left.unwrap_or(Duration::MAX))
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

async fn in_time<T>(
    patience: Duration,
    request: impl Future<Output = Result<T, LeaseError>>,
) -> Result<T, LeaseError> {
    timeout(patience, request).await.unwrap_or(Err(LeaseError::Unanswered { after: patience }))
}
