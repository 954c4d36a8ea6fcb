//! Questions to workers: which pod is due to be asked, and the asking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use super::context::{Guarded, lock};
use super::memory::Memory;
use super::workers::WorkerPod;
use crate::children::WORKER_PORT;
use crate::observe::{self, Lane, LanesReport, Trouble};

/// One ready worker speaks for a pipeline in which all is well.
const READY_EVERY: Duration = Duration::from_secs(120);
/// Of a pipeline that names Secrets: workers find out that a new one does not let them in, while what they have open goes on.
const SECURED_EVERY: Duration = Duration::from_secs(30);
/// A worker that is not ready knows why, and one that complains knows when that is over.
const NOT_WELL_EVERY: Duration = Duration::from_secs(5);
/// Questions under way at one time, over all pipelines.
const AT_ONCE: usize = 64;
/// Pods of one pipeline that are asked in one look: a reason is known after a few of a thousand.
const MOST_A_LOOK: usize = 8;

/// A question to a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Question {
    /// When it was asked.
    pub at: Duration,
    /// Kubernetes counted the pod as ready then.
    pub ready: bool,
    /// There is no answer to it yet, nor silence for long enough.
    pub is_open: bool,
}

/// What there was between the operator and a pod.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The last question.
    pub asked: Option<Question>,
    /// The last answer.
    pub report: Option<Box<LanesReport>>,
}

/// The pods to ask now: those that are not ready or complain each five seconds, one of the others each two minutes, or each half where
/// the pipeline is `secured` by Secrets, and those that have become ready, since what they waited for when they were asked is over.
pub(super) fn due(
    pods: &[Arc<WorkerPod>],
    talks: &BTreeMap<String, Talk>,
    secured: bool,
    now: Duration,
) -> Vec<Arc<WorkerPod>> {
    let asked = |pod: &WorkerPod| talks.get(&pod.name).and_then(|talk| talk.asked);
    let is_open = |pod: &WorkerPod| asked(pod).is_some_and(|question| question.is_open);
    let recovered = |pod: &&Arc<WorkerPod>| asked(pod).is_some_and(|question| !question.ready);
    let waits = |pod: &WorkerPod, period: Duration| {
        asked(pod).is_none_or(|question| now.saturating_sub(question.at) >= period)
    };
    let complains = |pod: &WorkerPod| {
        talks.get(&pod.name).and_then(|talk| talk.report.as_ref()).is_some_and(|report| report.complains())
    };
    let (ready, not_well): (Vec<_>, Vec<_>) = pods
        .iter()
        .filter(|pod| pod.ip.is_some() && !pod.leaving)
        .partition(|pod| pod.ready && !complains(pod));
    let (recovered, ready): (Vec<_>, Vec<_>) = ready.into_iter().partition(recovered);
    let mut due: Vec<_> = not_well.into_iter().filter(|pod| waits(pod, NOT_WELL_EVERY)).collect();
    due.extend(recovered);
    let ready_every = if secured { SECURED_EVERY } else { READY_EVERY };
    if ready.iter().all(|pod| waits(pod, ready_every)) {
        // Who was asked longest ago, so that each has its turn.
        due.extend(
            ready.into_iter().min_by_key(|pod| (asked(pod).map(|question| question.at), pod.name.clone())),
        );
    }
    due.into_iter().filter(|pod| !is_open(pod)).take(MOST_A_LOOK).cloned().collect()
}

/// Asks pods in the background and wakes their pipeline.
#[derive(Debug)]
pub(super) struct Asker {
    wake: UnboundedSender<ObjectRef<Guarded>>,
    places: Arc<Semaphore>,
}

impl Asker {
    pub fn new(wake: UnboundedSender<ObjectRef<Guarded>>) -> Self {
        Self { wake, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Asks each pod for its lanes and notes the answers in the pipeline's memory.
    pub fn ask(&self, object: &ObjectRef<Guarded>, memory: &Arc<Mutex<Memory>>, pods: Vec<Arc<WorkerPod>>) {
        for pod in pods {
            let Some(address) = pod.ip.as_deref().map(address) else { continue };
            let (places, wake, memory) = (self.places.clone(), self.wake.clone(), memory.clone());
            let object = object.clone();
            tokio::spawn(async move {
                let Ok(_place) = places.acquire_owned().await else { return };
                // Kubernetes says whether it is ready.
                let report = observe::ask_for_lanes(&address).await;
                if note(&mut lock(&memory), &pod.name, report) {
                    // The controller may have stopped meanwhile.
                    let _ = wake.send(object);
                }
            });
        }
    }
}

fn address(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{WORKER_PORT}") } else { format!("{ip}:{WORKER_PORT}") }
}

/// Takes an answer; true if it says something new about lanes, or of what keeps the worker out. A pod that does not answer says nothing
/// any more.
fn note(memory: &mut Memory, pod: &str, report: Option<LanesReport>) -> bool {
    let talk = memory.talks.entry(pod.to_owned()).or_default();
    if let Some(question) = &mut talk.asked {
        question.is_open = false;
    }
    let before = std::mem::replace(&mut talk.report, report.map(Box::new));
    said(before.as_deref()) != said(talk.report.as_deref())
}

/// What of an answer changes a status.
fn said(report: Option<&LanesReport>) -> Option<(&[Lane], [Option<&Trouble>; 4])> {
    let LanesReport { lanes, kafka, store, source_warning, store_warning, .. } = report?;
    Some((lanes, [kafka, store, source_warning, store_warning].map(|trouble| trouble.as_deref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: bool) -> WorkerPod {
        WorkerPod { name: name.to_owned(), ip: Some("10.0.0.1".to_owned()), ready, ..WorkerPod::default() }
    }

    #[test]
    fn one_ready_pod_speaks_for_all_and_each_that_is_not_ready_or_just_became_it_for_itself() {
        let pods = [
            pod("a", true),
            pod("b", true),
            pod("c", false),
            WorkerPod { ip: None, ..pod("d", false) },
            WorkerPod { leaving: true, ..pod("e", false) },
        ];
        let pods = pods.map(Arc::new);
        let asked = |pairs: &[(&str, u64, bool)]| {
            let talk = |at: u64, ready| {
                let asked = Some(Question { at: Duration::from_secs(at), ready, is_open: false });
                Talk { asked, report: None }
            };
            pairs.iter().map(|(name, at, ready)| ((*name).to_owned(), talk(*at, *ready))).collect()
        };
        let due = |talks: BTreeMap<String, Talk>, now| {
            let due = due(&pods, &talks, false, Duration::from_secs(now));
            due.iter().map(|pod| pod.name.clone()).collect::<Vec<_>>()
        };

        let found = [
            due(asked(&[]), 0),
            due(asked(&[("a", 0, true), ("c", 0, false)]), 4),
            due(asked(&[("a", 0, true), ("c", 0, false)]), 5),
            due(asked(&[("a", 0, true), ("c", 120, false)]), 120),
            due(asked(&[("a", 0, true), ("b", 120, true), ("c", 240, false)]), 240),
            due(asked(&[("a", 0, false), ("b", 0, false), ("c", 0, false)]), 1),
        ];

        let open = Question { at: Duration::ZERO, ready: false, is_open: true };
        let talks = [("c".to_owned(), Talk { asked: Some(open), report: None })].into();
        assert_eq!(due(talks, 60), ["a"], "nobody is asked twice at a time");
        assert_eq!(found, [vec!["c", "a"], vec![], vec!["c"], vec!["b"], vec!["a"], vec!["a", "b"]]);
    }

    fn kept_out() -> LanesReport {
        let trouble = Trouble { reason: "AuthenticationFailed".to_owned(), message: "why".to_owned() };
        LanesReport { store: Some(Box::new(trouble)), ..LanesReport::default() }
    }

    #[test]
    fn a_ready_pod_that_complains_or_has_secrets_is_asked_more_often() {
        let pods = [pod("a", true), pod("b", true)].map(Arc::new);
        let asked = Some(Question { at: Duration::ZERO, ready: true, is_open: false });
        let talks = [
            ("a".to_owned(), Talk { asked, report: Some(Box::new(kept_out())) }),
            ("b".to_owned(), Talk { asked, report: Some(Box::default()) }),
        ]
        .into();

        let due = [(false, 4), (false, 5), (false, 30), (true, 30)]
            .map(|(secured, now)| due(&pods, &talks, secured, Duration::from_secs(now)));

        let names = due.map(|pods| pods.iter().map(|pod| pod.name.clone()).collect::<Vec<_>>());
        assert_eq!(names, [vec![], vec!["a"], vec!["a"], vec!["a", "b"]]);
    }

    #[test]
    fn an_answer_is_news_when_it_says_another_thing_of_what_keeps_a_worker_out() {
        let mut memory = Memory::default();
        let busier = LanesReport { records: 7, ..LanesReport::default() };
        let answers = [Some(kept_out()), Some(kept_out()), Some(LanesReport::default()), Some(busier), None];

        let news = answers.map(|report| note(&mut memory, "a", report));

        assert_eq!(news, [true, false, true, false, true]);
    }
}
