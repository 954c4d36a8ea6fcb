//! Objects of the library that are ours: destroyed when dropped, and made of what callers have.

use std::ffi::CString;
use std::ptr::null_mut;

use rdkafka::bindings as sys;

/// A native object, destroyed when dropped.
pub(super) struct Owned<T>(pub(super) *mut T, pub(super) unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from librdkafka together with its destructor, and nobody uses it afterwards.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// Topic, partition, offset and metadata of each. The wrapper's own list looks through all entries for each that it adds.
pub(super) fn partition_list<'a>(
    partitions: impl ExactSizeIterator<Item = (&'a str, i32, i64, &'a [u8])>,
) -> Owned<sys::rd_kafka_topic_partition_list_t> {
    let capacity = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
    // SAFETY: the list is ours. `add` copies the name and returns an entry that is valid until the next one is added. Metadata is
    // allocated by the library, which frees it with the list.
    unsafe {
        let list = Owned(
            sys::rd_kafka_topic_partition_list_new(capacity),
            sys::rd_kafka_topic_partition_list_destroy,
        );
        let mut last: Option<(&str, CString)> = None;
        for (topic, partition, offset, metadata) in partitions {
            let name = match last.take().filter(|(before, _)| *before == topic) {
                Some(same) => same,
                None => (topic, c_string(topic)),
            };
            let entry = sys::rd_kafka_topic_partition_list_add(list.0, name.1.as_ptr(), partition);
            last = Some(name);
            (*entry).offset = offset;
            if !metadata.is_empty() {
                let copy = sys::rd_kafka_mem_malloc(null_mut(), metadata.len());
                std::ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast(), metadata.len());
                (*entry).metadata = copy;
                (*entry).metadata_size = metadata.len();
            }
        }
        list
    }
}

/// An empty name for one that holds a zero byte: no such topic or group can exist, and Kafka says so.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
