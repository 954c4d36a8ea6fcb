//! The store: fences, scripts, and one connection per lane.

mod connection;
mod connector;
mod eviction;
mod fence;
mod probe;
mod refusal;
mod scripts;

pub use connection::{Connection, StoreError};
pub use connector::Connector;
pub use eviction::Eviction;
pub use fence::{FenceError, FenceState, Knowledge, read_fence};
pub use scripts::{Header, PlayerWrite, Refused, Reply, Script, header};

use std::future::Future;

/// The value of a key, if it exists.
pub type Found = Option<Vec<u8>>;

/// What a lane needs of a store. Every call is one round trip; after an error the outcome is unknown, and the next
/// call uses a new connection.
pub trait Store: Send {
    /// The value of the fence key.
    fn fence(&mut self, key: &str) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Replaces the fence if it still has exactly the value `expected` (`None`: if it does not exist).
    fn replace_fence(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The fence and the values of these keys, read at once.
    fn load(
        &mut self,
        fence_key: &str,
        keys: &[&str],
    ) -> impl Future<Output = Result<(Found, Vec<Found>), StoreError>> + Send;

    /// The values of chunk keys.
    fn chunks(&mut self, keys: &[String]) -> impl Future<Output = Result<Vec<Found>, StoreError>> + Send;

    /// Runs scripts in order on one connection; the replies of those that are known to have run or to have been
    /// refused. Fewer replies than scripts: the outcome of the rest is unknown, for the reason given. The scripts' values are
    /// let go of once they are on their way.
    fn write(
        &mut self,
        fence_key: &str,
        scripts: &mut [Script<'_>],
    ) -> impl Future<Output = (Vec<Reply>, Option<StoreError>)> + Send;
}
