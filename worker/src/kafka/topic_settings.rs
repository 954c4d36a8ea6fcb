//! Settings of the topic that may cost reports one day.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;

use super::Access;
use super::config::admin_config;
use super::link::LinkContext;

const TIMEOUT: Duration = Duration::from_secs(5);
/// A leader that has not all records may be elected: those that only others had are lost, and their offsets are used again.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Whether the topic allows unclean leader elections; `None` where our user may not ask, which is no right that it needs. Blocks.
///
/// # Errors
/// The client refuses its settings or gets no token, or the cluster does not answer.
pub fn allows_unclean_election(access: &Arc<Access>, topic: &str) -> Result<Option<bool>, KafkaError> {
    let context = LinkContext::new(access);
    let link = context.0.clone();
    let client: AdminClient<LinkContext> = admin_config(access).create_with_context(context)?;
    link.log_in(client.inner()).map_err(|error| KafkaError::ClientCreation(error.message))?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let topic = [ResourceSpecifier::Topic(topic)];
    let answers = futures::executor::block_on(client.describe_configs(&topic, &options))?;
    let settings = answers.into_iter().next().and_then(Result::ok);
    Ok(settings.and_then(|settings| Some(settings.get(UNCLEAN)?.value.as_deref() == Some("true"))))
}
