//! A pipeline on this machine: the operator's parse → observe → plan, applied to processes instead of pods.
//!
//! The loop below does I/O and decides nothing: [`scaling`](crate::scaling) says how many workers run, [`fleet`] which process that means.

mod ask;
mod error;
pub mod fleet;
mod look;
mod options;
mod process;
mod state_dir;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plaudit_worker::security::Directory;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::observe::{LagWatch, Monitors, Settings};
use crate::security::{Credentials, certificates};
use crate::snapshot::Snapshot;
use ask::{Answer, ask_worker, rebalances};
pub use error::LocalError;
use fleet::{Action, Fleet, worker_name};
use look::{Look, Sources};
pub use options::Options;
use process::Process;
use state_dir::StateDir;
pub use state_dir::default_state_dir;

/// Beyond a worker's own drain deadline it leaves its group and closes its connections, which may take as long as a session.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// Runs workers until SIGINT or SIGTERM, then drains them; a second signal ends everything at once. `show` gets each look.
///
/// Blocks its thread, which must live as long as the program: the system ends a thread's children with it.
///
/// # Errors
/// Only what prevents the start; later trouble is a condition of the pipeline.
pub fn run(options: Options, show: &mut dyn FnMut(&Snapshot)) -> Result<(), LocalError> {
    let system = |what| move |source| LocalError::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start a runtime"))?;
    runtime.block_on(async {
        let signals = Signals {
            child: signal(SignalKind::child()).map_err(system("listen to signals"))?,
            interrupt: signal(SignalKind::interrupt()).map_err(system("listen to signals"))?,
            terminate: signal(SignalKind::terminate()).map_err(system("listen to signals"))?,
        };
        let runner = Runner::new(options)?;
        runner.run(signals, show).await
    })
}

struct Signals {
    child: Signal,
    interrupt: Signal,
    terminate: Signal,
}

struct Runner {
    start: Instant,
    config: String,
    worker_binary: PathBuf,
    dir: StateDir,
    monitors: Monitors,
    lag: Option<LagWatch>,
    secrets: Directory,
    /// The certificates that workers have to have, if any: those that have worked last.
    certificates: Option<String>,
    /// The certificates that a worker would find now.
    found_certificates: Option<String>,
    status_file: Option<PathBuf>,
    fleet: Fleet,
    processes: BTreeMap<u32, Process>,
    answers: BTreeMap<u32, Answer>,
    look: Look,
    /// Workers that should run, as planned last.
    wanted: u32,
    stopping: bool,
}

impl Runner {
    fn new(options: Options) -> Result<Self, LocalError> {
        let mut worker = options.pipeline.worker_config();
        worker.secrets_directory = options.secrets.0.display().to_string();
        let drain = Duration::from_secs(u64::from(worker.drain_deadline_seconds)) + LEAVE_DEADLINE;
        Ok(Self {
            start: Instant::now(),
            config: worker.to_yaml(),
            dir: StateDir::take(&options.state_dir)?,
            monitors: Monitors::new(Settings { period: options.period, ..Settings::default() }),
            lag: None,
            secrets: options.secrets,
            certificates: None,
            found_certificates: None,
            worker_binary: options.worker_binary,
            status_file: options.status_file,
            fleet: Fleet::new(drain),
            processes: BTreeMap::new(),
            answers: BTreeMap::new(),
            look: Look::new(options.object, options.pipeline),
            wanted: 0,
            stopping: false,
        })
    }

    async fn run(mut self, mut signals: Signals, show: &mut dyn FnMut(&Snapshot)) -> Result<(), LocalError> {
        let mut ticks = tokio::time::interval(self.monitors.settings().period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut questions = JoinSet::new();
        loop {
            self.apply();
            if self.stopping && self.fleet.is_empty() {
                break;
            }
            let due = self.fleet.next_due().map(|due| tokio::time::Instant::from_std(self.start + due));
            tokio::select! {
                _ = ticks.tick(), if questions.is_empty() => {
                    self.ask(&mut questions);
                    if questions.is_empty() {
                        self.look(show);
                    }
                }
                Some(answer) = questions.join_next() => {
                    self.take(answer.ok());
                    if questions.is_empty() {
                        self.look(show);
                    }
                }
                _ = signals.child.recv() => self.collect(),
                () = until(due) => {}
                _ = signals.interrupt.recv() => if self.stop() { break },
                _ = signals.terminate.recv() => if self.stop() { break },
            }
        }
        let workers = self.processes.len();
        // What is left after a second signal dies with its handle.
        self.processes.clear();
        self.answers.clear();
        // For the status file; a line would only say that nothing runs.
        self.look(&mut |_| ());
        tracing::info!("stopped");
        if workers == 0 { Ok(()) } else { Err(LocalError::Killed { workers }) }
    }

    /// The first signal drains; true for the second one.
    fn stop(&mut self) -> bool {
        if self.stopping {
            return true;
        }
        tracing::info!(workers = self.processes.len(), "draining; a second signal ends at once");
        self.stopping = true;
        false
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn apply(&mut self) {
        let wanted = if self.stopping { 0 } else { self.wanted };
        for action in self.fleet.actions(wanted, self.now()) {
            match action {
                Action::Start(index) => self.start_worker(index),
                Action::Terminate(index) => {
                    self.signal(index, "worker drains", Process::terminate);
                }
                Action::Kill(index) => {
                    self.signal(index, "worker did not drain in time and is killed", Process::kill);
                }
            }
        }
    }

    fn start_worker(&mut self, index: u32) {
        // It reads them itself, now.
        let credentials = Credentials::read(self.look.pipeline(), &self.secrets);
        self.find_certificates(&credentials);
        let name = worker_name(index);
        match Process::start(
            &self.worker_binary,
            &name,
            &self.config,
            &self.dir,
            self.found_certificates.clone(),
        ) {
            Ok(process) => {
                tracing::info!(worker = name, pid = process.pid(), log = %self.dir.log(&name).display(), "worker started");
                self.fleet.started(index, process.pid(), self.now());
                self.processes.insert(index, process);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(worker = name, %error, cause, "worker not started");
                self.fleet.ended(
                    index,
                    &format!("did not start: {error}: {cause}"),
                    fastrand::f64(),
                    self.now(),
                );
            }
        }
    }

    fn find_certificates(&mut self, credentials: &Credentials) {
        if let Ok(found) = &credentials.source {
            self.found_certificates = certificates(found);
        }
    }

    /// Ends one worker whose Kafka client was made with other certificates, once all others are ready: its place is taken by a new one.
    /// Certificates that do not work replace none.
    fn renew(&mut self) {
        if self.stopping || self.found_certificates != self.certificates {
            return;
        }
        let is_old = |(_, process): &(&u32, &Process)| process.certificates() != self.certificates.as_deref();
        let Some(old) = self.processes.iter().find(is_old).map(|(index, _)| *index) else { return };
        let is_ready = |index: &u32| self.answers.get(index).is_some_and(|answer| answer.ready);
        let others_ready = self.processes.keys().all(|index| *index == old || is_ready(index));
        if others_ready && self.fleet.replace(old, self.now()) {
            self.signal(old, "worker drains, for another with the new certificates", Process::terminate);
        }
    }

    fn signal(&self, index: u32, what: &'static str, send: fn(&Process)) {
        if let Some(process) = self.processes.get(&index) {
            tracing::info!(worker = worker_name(index), pid = process.pid(), "{what}");
            send(process);
        }
    }

    /// Takes note of every process that has ended.
    fn collect(&mut self) {
        let ended: Vec<(u32, u32, String)> = self
            .processes
            .iter_mut()
            .filter_map(|(index, process)| Some((*index, process.pid(), process.collect()?)))
            .collect();
        for (index, pid, how) in ended {
            tracing::info!(worker = worker_name(index), pid, how, "worker ended");
            self.processes.remove(&index);
            self.answers.remove(&index);
            self.look.gone(pid);
            self.fleet.ended(index, &how, fastrand::f64(), self.now());
        }
    }

    /// Asks every process, all at once.
    fn ask(&self, questions: &mut JoinSet<(u32, Answer)>) {
        for (index, process) in &self.processes {
            let (index, pid, address) = (*index, process.pid(), self.dir.address(&worker_name(*index)));
            questions.spawn(async move { (index, ask_worker(pid, &address).await) });
        }
    }

    fn take(&mut self, answer: Option<(u32, Answer)>) {
        let Some((index, answer)) = answer else { return };
        // The process may have been replaced while it was asked.
        if self.processes.get(&index).is_none_or(|process| process.pid() != answer.pid) {
            return;
        }
        let mut answer = answer;
        answer.ready |= self.answers.get(&index).is_some_and(|before| rebalances(before, &answer));
        if answer.ready {
            self.fleet.ready(index);
        }
        if let Some(report) = &answer.report {
            self.look.report(answer.pid, report);
        }
        self.answers.insert(index, answer);
    }

    /// Observe, plan and show; `apply` follows.
    fn look(&mut self, show: &mut dyn FnMut(&Snapshot)) {
        let credentials = Credentials::read(self.look.pipeline(), &self.secrets);
        let source =
            LagWatch::look(&mut self.lag, &self.monitors, self.look.pipeline(), &credentials.source, |_| ());
        self.certificates = self.lag.as_ref().and_then(|watch| certificates(watch.credentials()));
        self.find_certificates(&credentials);
        let sources = Sources { source, store_trouble: credentials.store_trouble() };
        let snapshot = self.look.take(sources, &self.fleet, &self.answers, self.now());
        self.renew();
        self.wanted = self.look.wanted();
        if let Some(path) = &self.status_file {
            let text = serde_json::to_string(&snapshot).expect("a snapshot has text keys only");
            if let Err(error) = state_dir::write_atomically(path, &text) {
                tracing::warn!(%error, path = %path.display(), "status file not written");
            }
        }
        show(&snapshot);
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
