//! Answers copied out of the library's events.

use std::ffi::{CStr, c_char};

use rdkafka::bindings as sys;
use sys::rd_kafka_consumer_group_state_t as state;

use super::super::source::{GroupState, Member, TopicId};
use super::answer::{Answer, Code, DescribedGroup, DescribedTopic, Failure, FoundOffset, GroupOffset, Named};

/// # Safety
/// `event` is alive and not used by anybody else meanwhile.
pub(super) unsafe fn event(event: *mut sys::rd_kafka_event_t) -> Option<Answer> {
    // SAFETY: as the caller promises. A result belongs to its event and is of the event's type; it is null where the whole question
    // failed before anything was asked, and then nothing is read of it.
    unsafe {
        let failure = failure(event);
        let answer = match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => Answer::Topics(or(failure, || topics(event))),
            sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => Answer::Offsets(or(failure, || offsets(event))),
            sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT => {
                Answer::Committed(or(failure, || committed(event)).and_then(|answer| answer))
            }
            sys::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT => {
                Answer::Groups(or(failure, || groups(event)))
            }
            sys::RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT => {
                Answer::Commit(or(failure, || commit(event)).and_then(|answer| answer))
            }
            // Nothing else is asked on this queue.
            _ => return None,
        };
        Some(answer)
    }
}

fn or<T>(failure: Option<Failure>, answer: impl FnOnce() -> T) -> Result<T, Failure> {
    match failure {
        Some(failure) => Err(failure),
        None => Ok(answer()),
    }
}

/// # Safety
/// `event` is alive.
unsafe fn failure(event: *mut sys::rd_kafka_event_t) -> Option<Failure> {
    // SAFETY: as the caller promises.
    unsafe {
        let code = sys::rd_kafka_event_error(event) as Code;
        (code != 0).then(|| Failure { code, text: text(sys::rd_kafka_event_error_string(event)) })
    }
}

/// # Safety
/// `event` is an answer of DescribeTopics without an error.
unsafe fn topics(event: *mut sys::rd_kafka_event_t) -> Named<DescribedTopic> {
    // SAFETY: as the caller promises; everything belongs to the event and is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let found = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let described = slice(found, count).iter().map(|description| {
            let name = text(sys::rd_kafka_TopicDescription_name(*description));
            match error_code(sys::rd_kafka_TopicDescription_error(*description)) {
                0 => (name, Ok(topic(*description))),
                code => (name, Err(code)),
            }
        });
        described.collect()
    }
}

/// # Safety
/// `description` belongs to an event that is alive.
unsafe fn topic(description: *const sys::rd_kafka_TopicDescription_t) -> DescribedTopic {
    // SAFETY: as the caller promises.
    unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let halves =
            [sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)];
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&halves[0].to_be_bytes());
        bytes[8..].copy_from_slice(&halves[1].to_be_bytes());
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(description, &raw mut count);
        let mut leaders = vec![-1; count];
        for partition in slice(partitions, count) {
            let number = sys::rd_kafka_TopicPartitionInfo_partition(*partition);
            let leader = sys::rd_kafka_TopicPartitionInfo_leader(*partition);
            let slot = usize::try_from(number).ok().and_then(|number| leaders.get_mut(number));
            if let (Some(slot), false) = (slot, leader.is_null()) {
                *slot = sys::rd_kafka_Node_id(leader);
            }
        }
        DescribedTopic { id: (halves != [0, 0]).then_some(TopicId(bytes)), leaders }
    }
}

/// # Safety
/// `event` is an answer of ListOffsets without an error.
unsafe fn offsets(event: *mut sys::rd_kafka_event_t) -> Vec<FoundOffset> {
    // SAFETY: as the caller promises.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let found = slice(infos, count).iter().map(|info| {
            let entry = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
            match (entry_code(entry), (*entry).offset) {
                (0, offset @ 0..) => FoundOffset::At(offset),
                // What the library puts in before it asks, and what a broker says where there is no offset.
                (0, _) => FoundOffset::Absent,
                (code, _) => FoundOffset::Error(code),
            }
        });
        found.collect()
    }
}

/// # Safety
/// `event` is an answer of ListConsumerGroupOffsets without an error.
unsafe fn committed(event: *mut sys::rd_kafka_event_t) -> Result<Vec<GroupOffset>, Failure> {
    // SAFETY: as the caller promises; metadata, when not null, points to `metadata_size` bytes of the entry.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        let entries = group_entries(slice(groups, count))?;
        let found = entries.iter().map(|entry| GroupOffset {
            partition: entry.partition,
            offset: match (entry_code(entry), entry.offset) {
                (0, offset @ 0..) => Ok(Some(offset)),
                (0, _) => Ok(None),
                (code, _) => Err(code),
            },
            metadata: if entry.metadata.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(entry.metadata.cast::<u8>(), entry.metadata_size).to_vec()
            },
        });
        Ok(found.collect())
    }
}

/// # Safety
/// `event` is an answer of AlterConsumerGroupOffsets without an error.
unsafe fn commit(event: *mut sys::rd_kafka_event_t) -> Result<(), Failure> {
    // SAFETY: as the caller promises.
    unsafe {
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event);
        let mut count = 0;
        let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        let entries = group_entries(slice(groups, count))?;
        match entries.iter().map(|entry| (entry.partition, entry_code(entry))).find(|(_, code)| *code != 0) {
            Some((partition, code)) => {
                Err(Failure { code, text: format!("partition {partition}: error {code}") })
            }
            None => Ok(()),
        }
    }
}

/// The partitions in the answer about one group.
///
/// # Safety
/// `groups` belong to an event that is alive for `'a`.
unsafe fn group_entries<'a>(
    groups: &[*const sys::rd_kafka_group_result_t],
) -> Result<&'a [sys::rd_kafka_topic_partition_t], Failure> {
    let Some(&group) = groups.first() else {
        return Err(Failure { code: 0, text: "an answer about no group".to_owned() });
    };
    // SAFETY: as the caller promises; `elems` holds `cnt` entries.
    unsafe {
        let error = sys::rd_kafka_group_result_error(group);
        match error_code(error) {
            0 => {}
            code => return Err(Failure { code, text: text(sys::rd_kafka_error_string(error)) }),
        }
        let list = sys::rd_kafka_group_result_partitions(group);
        if list.is_null() || (*list).elems.is_null() {
            return Ok(&[]);
        }
        Ok(std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0)))
    }
}

/// # Safety
/// `event` is an answer of DescribeConsumerGroups without an error.
unsafe fn groups(event: *mut sys::rd_kafka_event_t) -> Named<DescribedGroup> {
    // SAFETY: as the caller promises.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let mut count = 0;
        let found = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let described = slice(found, count).iter().map(|group| {
            let name = text(sys::rd_kafka_ConsumerGroupDescription_group_id(*group));
            match error_code(sys::rd_kafka_ConsumerGroupDescription_error(*group)) {
                0 => (name, Ok(group_of(*group))),
                code => (name, Err(code)),
            }
        });
        described.collect()
    }
}

/// # Safety
/// `group` belongs to an event that is alive.
unsafe fn group_of(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> DescribedGroup {
    // SAFETY: as the caller promises; a member's assignment and its list may be null.
    unsafe {
        let state = match sys::rd_kafka_ConsumerGroupDescription_state(group) {
            state::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => GroupState::PreparingRebalance,
            state::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::CompletingRebalance,
            state::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
            state::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
            state::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
            state::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN | state::RD_KAFKA_CONSUMER_GROUP_STATE__CNT => {
                GroupState::Unknown
            }
        };
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members = (0..count).map(|at| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, at);
            let described = Member {
                client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                host: text(sys::rd_kafka_MemberDescription_host(member)),
                partitions: Vec::new(),
            };
            let assignment = sys::rd_kafka_MemberDescription_assignment(member);
            let list = if assignment.is_null() {
                std::ptr::null()
            } else {
                sys::rd_kafka_MemberAssignment_partitions(assignment)
            };
            let entries = if list.is_null() || (*list).elems.is_null() {
                &[]
            } else {
                std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0))
            };
            (described, entries.iter().map(|entry| (text(entry.topic), entry.partition)).collect())
        });
        DescribedGroup { state, members: members.collect() }
    }
}

/// An entry's error as a number: a broker may send one that this version of the library has no name for, and that would be no
/// valid value of the enum.
fn entry_code(entry: *const sys::rd_kafka_topic_partition_t) -> Code {
    // SAFETY: callers pass entries of lists that are alive; the enum is represented as an i32.
    unsafe { (&raw const (*entry).err).cast::<Code>().read() }
}

/// # Safety
/// `error` is null or alive.
unsafe fn error_code(error: *const sys::rd_kafka_error_t) -> Code {
    // SAFETY: as the caller promises; the library takes null for no error.
    unsafe { sys::rd_kafka_error_code(error) as Code }
}

/// # Safety
/// `first` is null or points to `count` values that are alive for `'a`.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }
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
