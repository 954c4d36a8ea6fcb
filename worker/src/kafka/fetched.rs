//! Records taken out of a partition's queue many at a time: one by one, the wrapper reads the clock, locks and allocates for
//! each of them.

use std::collections::VecDeque;
use std::ffi::CString;
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::native::own_headers;
use crate::lane::ports::{OwnHeaders, RecordView};

/// Records taken at a time.
const AT_ONCE: usize = 128;

/// A partition's queue, and what was taken out of it and nobody has seen yet.
pub(super) struct FetchQueue {
    /// First, because what was taken is given back before the queue.
    taken: VecDeque<Fetched>,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's queues and messages may be used and destroyed by any thread.
unsafe impl Send for FetchQueue {}
// SAFETY: whoever shares it can only ask for an offset, which nobody changes.
unsafe impl Sync for FetchQueue {}

impl FetchQueue {
    /// The queue of a partition that was split off; the client has to outlive it. `None` if the client does not
    /// know the partition.
    pub fn new<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client outlives the call and the topic is a C string; the answer is a reference of our own.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition)
        };
        Some(Self { queue: NonNull::new(queue)?, taken: VecDeque::with_capacity(AT_ONCE) })
    }

    /// The next record, if one is ready.
    ///
    /// # Errors
    /// What the client reports in the place of a record.
    pub fn next(&mut self) -> Option<Result<Fetched, KafkaError>> {
        loop {
            if self.taken.is_empty() {
                self.take();
            }
            let fetched = self.taken.pop_front()?;
            match fetched.error() {
                None => return Some(Ok(fetched)),
                Some(RDKafkaErrorCode::PartitionEOF) => {}
                Some(code) => return Some(Err(KafkaError::MessageConsumption(code))),
            }
        }
    }

    /// The offset of the next record, if one was taken and not seen: the client's own position is above it.
    pub fn next_offset(&self) -> Option<i64> {
        self.taken.front().map(Fetched::offset)
    }

    /// Forgets what was taken: to be called whenever the partition is placed elsewhere.
    pub fn clear(&mut self) {
        self.taken.clear();
    }

    fn take(&mut self) {
        let mut messages = [ptr::null_mut(); AT_ONCE];
        // SAFETY: the queue is our own reference; at most `AT_ONCE` pointers are written, each a message that is ours to destroy.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), AT_ONCE)
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.taken.extend(messages[..count].iter().copied().filter_map(NonNull::new).map(Fetched));
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: our own reference, used for the last time.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl std::fmt::Debug for FetchQueue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FetchQueue").field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}

/// A record, or an error in its place, that librdkafka owns.
pub(super) struct Fetched(NonNull<sys::rd_kafka_message_t>);

impl Fetched {
    /// Hands the record to `take`.
    pub fn view<T>(&self, take: impl FnOnce(RecordView<'_>) -> T) -> T {
        let message = self.message();
        take(RecordView {
            offset: message.offset,
            timestamp: self.timestamp(),
            key: self.bytes(message.key, message.key_len),
            value: self.bytes(message.payload, message.len),
            headers: &|| self.headers(),
        })
    }

    fn message(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message is ours until it is dropped.
        unsafe { self.0.as_ref() }
    }

    fn offset(&self) -> i64 {
        self.message().offset
    }

    fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.message().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    /// Milliseconds since 1970.
    fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is ours, and the kind lives on this stack.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && timestamp != -1).then_some(timestamp)
    }

    fn bytes(&self, bytes: *const std::ffi::c_void, len: usize) -> Option<&[u8]> {
        // SAFETY: key and payload, when not null, lie in the message's own memory and are as long as it says.
        (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) })
    }

    fn headers(&self) -> OwnHeaders {
        let mut list = ptr::null_mut();
        // SAFETY: the message is ours; the list that it points to stays the message's.
        let error = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut list) };
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return OwnHeaders::default();
        }
        // SAFETY: the list lives as long as the message.
        unsafe { own_headers(list) }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: the message is ours, and used for the last time.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}
