//! The queue of pipelines to be looked at: worked off some at a time, with a sign of life as long as it moves.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::context::Guarded;
use crate::admin::Health;

/// Events that come together are one look.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Pipelines looked at at one time: their writes share one connection to the API server.
const CONCURRENCY: u16 = 16;
/// Between two probes, which go through the queue like pipelines: a queue in which nothing is to be done moves, too.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// A look makes about ten writes at most, each of which is given up after 20 s; where none of all looks has ended for so long, none will.
const STANDSTILL: Duration = Duration::from_secs(300);

/// Has each woken pipeline looked at, until `stop`; looks under way are finished.
pub(super) async fn work_off<C, F>(
    woken: UnboundedReceiver<ObjectRef<Guarded>>,
    pipelines: Store<Guarded>,
    context: Arc<C>,
    (look, after_error): (
        impl FnMut(Arc<Guarded>, Arc<C>) -> F,
        impl Fn(Arc<Guarded>, &F::Error, Arc<C>) -> Action,
    ),
    (health, stop): (&Health, CancellationToken),
) where
    F: futures::TryFuture<Ok = Action> + Unpin,
    F::Error: std::error::Error + 'static,
{
    let heart = health.heart("controller", STANDSTILL);
    let woken = stream::unfold(woken, |mut woken| async move { Some((woken.recv().await?, woken)) });
    let queue = stream::select(woken, Box::pin(probes()))
        .map(Ok::<_, std::convert::Infallible>)
        .take_until(stop.cancelled_owned());
    let config = Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
    applier(look, after_error, context, pipelines, Box::pin(queue), config)
        .for_each(|looked| {
            heart.beat();
            match looked {
                // A probe has come through, or a pipeline is gone.
                Ok(_) | Err(Error::ObjectNotFound(_)) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a look did not end well");
                }
            }
            std::future::ready(())
        })
        .await;
}

/// A pipeline without a name, which no API server has, now and then.
fn probes() -> impl stream::Stream<Item = ObjectRef<Guarded>> {
    stream::unfold(tokio::time::interval(PROBE_EVERY), |mut ticks| async move {
        ticks.tick().await;
        Some((ObjectRef::new(""), ticks))
    })
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use kube::core::DeserializeGuard;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::pipeline::tests::object;

    const NAMES: [&str; 17] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];

    /// What health says after an hour in which these pipelines were woken once, and the looks at them never ended.
    async fn after_an_hour(hanging: &'static [&'static str]) -> Option<String> {
        let (reader, mut writer) = store();
        writer.apply_watcher_event(&Event::Init);
        let (wake, woken) = mpsc::unbounded_channel();
        for name in NAMES {
            let mut object = object("");
            object.metadata.name = Some(name.to_owned());
            let object = DeserializeGuard(Ok(object));
            wake.send(ObjectRef::from_obj(&object)).expect("somebody listens");
            writer.apply_watcher_event(&Event::InitApply(object));
        }
        writer.apply_watcher_event(&Event::InitDone);
        let look = |object: Arc<Guarded>, _: Arc<()>| -> BoxFuture<'static, Result<Action, kube::Error>> {
            let name = object.0.as_ref().ok().and_then(|object| object.metadata.name.clone());
            if hanging.contains(&name.as_deref().unwrap_or_default()) {
                return Box::pin(std::future::pending());
            }
            Box::pin(std::future::ready(Ok(Action::await_change())))
        };
        let after_error = |_: Arc<Guarded>, _: &kube::Error, _: Arc<()>| Action::await_change();
        let (health, begin) = (Health::default(), Instant::now());
        let looks = (look, after_error);
        let work = work_off(woken, reader, Arc::new(()), looks, (&health, CancellationToken::new()));
        // its heart goes with it
        let mut work = std::pin::pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = tokio::time::sleep_until(begin + Duration::from_secs(3_601)) => {}
        }
        health.dead(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_in_which_every_look_hangs_is_dead() {
        let said = after_an_hour(&NAMES).await;

        assert_eq!(said.as_deref(), Some("the controller has made no step for 3600 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_in_which_nothing_is_to_be_done_lives() {
        assert_eq!(after_an_hour(&[]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_in_which_one_look_hangs_lives() {
        assert_eq!(after_an_hour(&["c"]).await, None);
    }
}
