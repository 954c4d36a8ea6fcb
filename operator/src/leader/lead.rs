//! Doing something for as long as this process leads.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::elector::{Elector, Leadership};
use super::lease::Leases;
use super::machine::Loss;
use super::term::Term;

/// Waits until `elector` leads, runs `work`, and gives the Lease back when that has ended. Returns what `work` returned; `None` when
/// `stop` came before the lead.
///
/// `work` has to end by itself when `stop` is cancelled; the Lease is renewed until then. `watched` is shown each change, for a gauge
/// and for readiness.
///
/// # Errors
/// The term was lost: `work` is dropped where it stands. What it spawned sees [`Term::over`], but the process should end at once: another
/// may lead as soon as the lease has run out.
pub async fn lead<L: Leases, T>(
    elector: Elector<L>,
    stop: &CancellationToken,
    mut watched: impl FnMut(&Leadership),
    work: impl AsyncFnOnce(Term) -> T,
) -> Result<Option<T>, Loss> {
    let candidacy = elector.stand();
    let mut leadership = candidacy.leadership();
    let elected = elected(&mut leadership, &mut watched);
    let term = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        term = elected => Some(term?),
    };
    let Some(term) = term else {
        candidacy.resign().await;
        return Ok(None);
    };
    let result = tokio::select! {
        biased;
        loss = lost(&mut leadership, &mut watched) => return Err(loss),
        result = work(term) => result,
    };
    candidacy.resign().await;
    watched(&Leadership::Standby);
    Ok(Some(result))
}

async fn elected(
    leadership: &mut watch::Receiver<Leadership>,
    watched: &mut impl FnMut(&Leadership),
) -> Result<Term, Loss> {
    loop {
        let now = leadership.borrow_and_update().clone();
        watched(&now);
        match now {
            Leadership::Starting | Leadership::Standby => {}
            Leadership::Leading(term) => return Ok(term),
            Leadership::Lost(loss) => return Err(loss),
        }
        leadership.changed().await.map_err(|_| Loss::ElectorEnded)?;
    }
}

async fn lost(leadership: &mut watch::Receiver<Leadership>, watched: &mut impl FnMut(&Leadership)) -> Loss {
    loop {
        let loss = match leadership.changed().await {
            Ok(()) => match leadership.borrow_and_update().clone() {
                Leadership::Lost(loss) => loss,
                Leadership::Starting | Leadership::Standby | Leadership::Leading(_) => continue,
            },
            Err(_) => Loss::ElectorEnded,
        };
        watched(&Leadership::Lost(loss.clone()));
        return loss;
    }
}
