//! The few calls of librdkafka that the safe wrapper lacks.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::lane::ports::OwnHeaders;

/// Metadata of the first entry of a list, as bytes: the wrapper panics on what is not UTF-8, and anybody may commit
/// anything.
pub fn first_metadata(list: &TopicPartitionList) -> Vec<u8> {
    // SAFETY: the pointer is valid while `list` lives; `elems` holds `cnt` entries; metadata, when not null, points to
    // `metadata_size` bytes owned by the list.
    unsafe {
        let raw = &*list.ptr();
        if raw.cnt < 1 || raw.elems.is_null() {
            return Vec::new();
        }
        let entry = &*raw.elems;
        if entry.metadata.is_null() {
            return Vec::new();
        }
        std::slice::from_raw_parts(entry.metadata.cast::<u8>(), entry.metadata_size).to_vec()
    }
}

/// The log end as the last fetch answer told it: no request is made. `None` before the first answer.
pub fn cached_log_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0_i64, 0_i64);
    // SAFETY: the client outlives the call, the topic is a C string, and both numbers live on this stack.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// The offset after the last record or control record that the client handed over. No other thread is asked: the
/// wrapper's own call first has the client's main thread list the whole assignment.
pub fn position<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    // SAFETY: client and list outlive the call, which fills in the offsets of the list's own entries and keeps neither.
    let error = unsafe { sys::rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
    if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    match list.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        // Nothing was handed over yet.
        _ => None,
    }
}

/// A copy of headers: the wrapper panics on names that are not UTF-8, and anybody may send anything.
///
/// # Safety
/// The list outlives the call.
pub unsafe fn own_headers(list: *const sys::rd_kafka_headers_t) -> OwnHeaders {
    // SAFETY: as the caller promises.
    OwnHeaders::copy((0..).map_while(|at| unsafe { header(list, at) }))
}

/// # Safety
/// The list outlives what is returned.
unsafe fn header<'a>(
    list: *const sys::rd_kafka_headers_t,
    at: usize,
) -> Option<(Cow<'a, str>, Option<&'a [u8]>)> {
    let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the list is alive; an index behind its end is answered with an error.
    let error =
        unsafe { sys::rd_kafka_header_get_all(list, at, &raw mut name, &raw mut value, &raw mut len) };
    if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: a name is a C string of the list.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    // SAFETY: a value, when not null, lies in the list's memory and is as long as it says.
    let value = (!value.is_null()).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), len) });
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    #[test]
    fn a_partition_nothing_was_read_of_has_no_position() {
        let consumer: BaseConsumer = ClientConfig::new().set("group.id", "g").create().unwrap();
        assert_eq!(position(&consumer, "t", 0), None);
        assert_eq!(cached_log_end(&consumer, "t", 0), None);
    }
}
