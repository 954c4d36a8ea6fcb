//! Carrying a plan out: its faults at their moments, and how each ends.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use plaudit::load::{ItemType, Mix};

use super::ending::{Agenda, Ending};
use super::fault::{Disturbance, Fault, Link};
use super::fleet::Fleet;
use super::load::Load;
use super::plan::{Plan, Planned, ROUTES};
use super::store::Store;
use crate::scene::{Scene, rough_mix};
use crate::stack::{Kafka, Proxy, until};

const PLAYERS: u64 = 1_000;
/// From the first worker to a fence on each partition.
const BEGIN: Duration = Duration::from_secs(30);
/// New partitions get their fences within this, or a fault that loses writes is left out.
const FENCES: Duration = Duration::from_secs(10);

/// A plan being carried out.
pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub kafka: &'a Kafka,
    pub store: Store<'a>,
    pub scene: &'a Scene<'a>,
    pub fleet: Fleet<'a>,
    /// How far the game servers' clocks are ahead, in milliseconds.
    pub clock: &'a AtomicI64,
    pub agenda: Agenda,
    /// Faults that could not be carried out, and why.
    pub skipped: Vec<String>,
}

impl Run<'_> {
    /// Returns when the load is acknowledged, every fault is over, and only those run who are to run on.
    pub fn play(&mut self) -> Result<()> {
        (0..ROUTES).for_each(|route| self.kafka.route(route).heal());
        self.fleet.scale(self.plan.workers)?;
        self.wait_for_fences(BEGIN)?;
        let (scene, plan, clock) = (self.scene, self.plan, self.clock);
        let load = Load {
            bootstrap: self.kafka.bootstrap(),
            topic: &scene.config.source.topic,
            mix: Mix { types: ItemType::assorted(plan.types), ..rough_mix(plan.seed, PLAYERS) },
            reports: plan.reports,
            rate: plan.rate,
            clock,
        };
        std::thread::scope(|scope| {
            let load = scope.spawn(|| load.produce());
            let suffered = self.suffer_all();
            if suffered.is_err() {
                // or the load waits for it
                drop(self.kafka.resume());
            }
            suffered.and(load.join().expect("the load does not panic"))
        })?;
        self.fleet.wait_for_the_leaving()?;
        self.fleet.revive()?;
        self.fleet.scale(self.fleet.len().max(1))
    }

    fn suffer_all(&mut self) -> Result<()> {
        let begin = Instant::now();
        for planned in &self.plan.faults {
            self.wait(begin + planned.at)?;
            self.fleet.revive()?;
            self.suffer(planned).with_context(|| planned.to_string())?;
        }
        self.wait_for(|_| true)
    }

    /// Waits until then, and lets faults end whose time has come.
    fn wait(&mut self, until: Instant) -> Result<()> {
        while let Some((at, ending)) = self.agenda.next_before(until) {
            sleep_until(at);
            let what = format!("{ending:?}");
            self.end(ending).context(what)?;
        }
        sleep_until(until);
        Ok(())
    }

    /// Waits until none of these is left to come.
    fn wait_for(&mut self, these: impl Fn(&Ending) -> bool) -> Result<()> {
        while let Some(last) = self.agenda.last(&these) {
            self.wait(last + Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn suffer(&mut self, planned: &Planned) -> Result<()> {
        let after = |ms: u64| Instant::now() + Duration::from_millis(ms);
        match planned.fault {
            Fault::Kill => {
                if let Some(worker) = self.fleet.pick() {
                    worker.kill()?;
                }
                self.fleet.start(None)?;
            }
            Fault::Terminate => self.fleet.replace(None)?,
            Fault::Scale { workers } => self.fleet.scale(workers)?,
            Fault::Storm { workers, every_ms } => {
                for (at, workers) in (0..).zip(workers) {
                    self.agenda.add(after(at * every_ms), Ending::Scale(workers));
                }
            }
            Fault::Freeze { ms } => {
                if let Some(worker) = self.fleet.pick() {
                    worker.pause()?;
                    self.agenda.add(after(ms), Ending::Thaw(worker));
                }
            }
            Fault::Reconfigure(variant) => self.fleet.replace(Some(variant))?,
            Fault::KillBroker => {
                self.kafka.kill()?;
                self.kafka.restart()?;
            }
            Fault::PauseBroker { ms } => {
                self.kafka.pause()?;
                self.agenda.add(after(ms), Ending::ResumeBroker);
            }
            Fault::KillStore => {
                self.store.primary().kill()?;
                self.store.primary().restart()?;
            }
            Fault::PauseStore { ms } => {
                self.store.primary().pause()?;
                self.agenda.add(after(ms), Ending::ResumeStore { node: self.store.at() });
            }
            Fault::RestoreStore { from_ms_ago } => {
                if self.may_lose(planned)? {
                    let (node, copy) = (self.store.at(), self.store.primary().snapshot()?);
                    self.agenda.add(after(from_ms_ago), Ending::Restore { node, copy });
                }
            }
            Fault::Failover { from_ms_ago } => self.detach(planned, from_ms_ago, None)?,
            Fault::OldPrimary { from_ms_ago, route, ms } => {
                self.detach(planned, from_ms_ago, Some((route, Duration::from_millis(ms))))?;
            }
            Fault::Disturb { link, route, disturbance, ms } => {
                for route in route.map_or(0..ROUTES, |route| route..route + 1) {
                    self.disturb(link, route, disturbance);
                    self.agenda.add(after(ms), Ending::Heal { link, route });
                }
            }
            Fault::Clock { ahead_ms } => self.clock.store(ahead_ms, Ordering::Relaxed),
            Fault::Grow { partitions } => self.grow(partitions)?,
        }
        Ok(())
    }

    /// A replica keeps what the store holds now; what that takes in from now on will be lost.
    fn detach(&mut self, planned: &Planned, ms: u64, spared: Option<(usize, Duration)>) -> Result<()> {
        if self.may_lose(planned)? {
            let to = self.store.detach_replica()?;
            self.agenda.add(Instant::now() + Duration::from_millis(ms), Ending::FailOver { to, spared });
        }
        Ok(())
    }

    /// Whether every partition has a fence that the store will still have. To a partition without one it would not be a store
    /// that lost a suffix but another store, and its lane would stop.
    fn may_lose(&mut self, planned: &Planned) -> Result<bool> {
        self.wait_for(Ending::is_resumption)?;
        let fences = self.wait_for_fences(FENCES);
        if let Err(error) = &fences {
            self.skipped.push(format!("{planned}: {error}"));
        }
        Ok(fences.is_ok())
    }

    fn end(&mut self, ending: Ending) -> Result<()> {
        match ending {
            Ending::Thaw(worker) => {
                worker.resume()?;
                self.fleet.put(worker);
            }
            Ending::Scale(workers) => self.fleet.scale(workers)?,
            Ending::ResumeBroker => self.kafka.resume()?,
            Ending::ResumeStore { node } if node == self.store.at() => self.store.node(node).resume()?,
            Ending::Restore { node, copy } if node == self.store.at() => {
                self.store.node(node).restart_from(&copy)?;
            }
            Ending::FailOver { to, spared } => {
                let old = self.store.fail_over(to, spared.map(|(route, _)| route))?;
                match spared {
                    Some((_, time)) => self.agenda.add(Instant::now() + time, Ending::Retire { node: old }),
                    None => self.store.node(old).kill()?,
                }
            }
            Ending::Retire { node } => self.store.node(node).kill()?,
            Ending::Heal { link, route } => self.proxy(link, route).heal(),
            // of a server that is no longer the primary
            Ending::ResumeStore { .. } | Ending::Restore { .. } => {}
        }
        Ok(())
    }

    fn disturb(&self, link: Link, route: usize, disturbance: Disturbance) {
        let proxy = self.proxy(link, route);
        match disturbance.wire() {
            Some(wire) => proxy.set(wire),
            None => proxy.cut(),
        }
    }

    fn proxy(&self, link: Link, route: usize) -> &Proxy {
        match link {
            Link::Kafka => self.kafka.route(route),
            Link::Store => self.store.route(route),
        }
    }

    fn grow(&mut self, partitions: usize) -> Result<()> {
        // A store that loses the new partitions' fences would be another store to them.
        self.wait_for(|ending| ending.is_loss() || ending.is_resumption())?;
        // a broker that has just started may not lead its partitions yet
        let now = until("the partitions", BEGIN, || Ok(self.scene.log()?.ends().ok()))?.len();
        self.kafka.add_partitions(&self.scene.config.source.topic, now + partitions)?;
        // The group looks for new partitions twice a minute, and whenever somebody joins.
        self.fleet.replace(None)
    }

    fn wait_for_fences(&self, limit: Duration) -> Result<()> {
        until("a fence on each partition", limit, || {
            let Ok(stored) = self.scene.stored_at(&self.store.primary().address()) else { return Ok(None) };
            // a broker that has just started may not know where its partitions end
            let Ok(ends) = self.scene.log()?.ends() else { return Ok(None) };
            Ok((stored.len() == ends.len()).then_some(()))
        })
    }
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
