//! Why a local fleet could not run, or not to its end.

use super::state_dir::StateDirError;

/// Why a fleet could not run.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The runtime, a signal or a file failed.
    #[error("could not {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A second signal came before the workers had drained.
    #[error(
        "second signal: {workers} workers killed before they had drained; what they had not committed is read again"
    )]
    Killed {
        /// How many.
        workers: usize,
    },
}
