//! The topic's ID and its partitions, which only librdkafka's admin calls tell together.

use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::lane::ports::TopicFacts;

/// A native object, destroyed when dropped.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from librdkafka together with its destructor, and nobody uses it afterwards.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// Asks the cluster; waits up to `timeout`.
///
/// # Errors
/// What librdkafka or the broker says, in words. An older broker that knows no IDs leaves the ID empty.
pub fn facts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicFacts, String> {
    let name = CString::new(topic).map_err(|error| error.to_string())?;
    let mut names = [name.as_ptr()];
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = consumer.client().native_ptr();
    // SAFETY: the client outlives the call. Queue, topics, options and event are ours and destroyed after their last use
    // (drop order: the reverse of their making); the result lives as long as its event.
    unsafe {
        let queue = Owned(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy);
        let topics = Owned(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            sys::rd_kafka_TopicCollection_destroy,
        );
        let options = Owned(
            sys::rd_kafka_AdminOptions_new(
                client,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            sys::rd_kafka_AdminOptions_destroy,
        );
        sys::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, null_mut(), 0);
        sys::rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
        let event = Owned(sys::rd_kafka_queue_poll(queue.0, millis), sys::rd_kafka_event_destroy);
        if event.0.is_null() {
            return Err(format!("no answer within {} s", timeout.as_secs()));
        }
        if sys::rd_kafka_event_error(event.0) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(sys::rd_kafka_event_error_string(event.0)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        let found = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if result.is_null() || found.is_null() || count != 1 {
            return Err("an answer about another topic".to_owned());
        }
        facts_of(*found)
    }
}

/// # Safety
/// `description` belongs to a result that is alive.
unsafe fn facts_of(description: *const sys::rd_kafka_TopicDescription_t) -> Result<TopicFacts, String> {
    // SAFETY: as the caller promises; errors, IDs and counts are read, not kept.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(description);
        if sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(sys::rd_kafka_error_string(error)));
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let halves =
            [sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)];
        let id = if halves == [0, 0] { Vec::new() } else { halves.map(i64::to_be_bytes).concat() };
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(description, &raw mut partitions);
        Ok(TopicFacts { id, partitions: u32::try_from(partitions).unwrap_or(u32::MAX) })
    }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
