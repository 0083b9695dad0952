//! The requests that rdkafka binds and does not wrap. Each owns its options, its queue and its answer, and
//! frees them when it returns; pointers into an answer are read before it is freed. The only unsafe code here.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::TopicDescription;

/// Time that librdkafka has for its own answer beyond the limit that it was given.
const GRACE: Duration = Duration::from_millis(500);
/// Log levels up to this one (syslog's `err`) tell what fails.
const LOG_LEVEL_ERROR: c_int = 3;

/// What an answer said instead of a result.
#[derive(Debug)]
pub(super) struct NativeError {
    pub(super) action: &'static str,
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// An owned pointer with the function that frees it.
struct Owned<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.pointer.is_null() {
            // SAFETY: the pointer came from librdkafka, is freed by its own function, and only here.
            unsafe { (self.free)(self.pointer) }
        }
    }
}

/// Brokers, host and port of each with commas between, that the client connects to beside those that it knows.
pub(crate) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    // Only text with a zero in it is none, which no client is made with either.
    let Ok(brokers) = CString::new(brokers) else { return };
    // SAFETY: the client lives until the end of this function, and librdkafka copies the text.
    unsafe {
        sys::bindings::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr());
    }
}

pub(super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Option<TopicDescription>, NativeError> {
    const ACTION: &str = "describe the topic";
    let name = c_string(ACTION, name)?;
    let mut names = [name.as_ptr()];
    // SAFETY: `names` holds one pointer to a string that lives until the end of this function; the collection
    // copies it. The request only reads the collection.
    let answer = unsafe {
        let topics = Owned {
            pointer: sys::bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            free: sys::bindings::rd_kafka_TopicCollection_destroy,
        };
        let operation = sys::bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        request(client, ACTION, operation, timeout, |native, options, queue| {
            sys::bindings::rd_kafka_DescribeTopics(native, topics.pointer, options, queue);
        })?
    };
    // SAFETY: the answer outlives every pointer read from it here; counts bound the arrays.
    unsafe {
        let result = sys::bindings::rd_kafka_event_DescribeTopics_result(answer.pointer);
        let Some(&description) =
            slice(|count| sys::bindings::rd_kafka_DescribeTopics_result_topics(result, count)).first()
        else {
            return Ok(None);
        };
        let error = sys::bindings::rd_kafka_TopicDescription_error(description);
        match check(ACTION, error) {
            Err(error) if error.code == RDKafkaErrorCode::UnknownTopicOrPartition => return Ok(None),
            checked => checked?,
        }
        let partitions =
            slice(|count| sys::bindings::rd_kafka_TopicDescription_partitions(description, count));
        let replicas = partitions.first().map_or(0, |&partition| {
            slice(|count| sys::bindings::rd_kafka_TopicPartitionInfo_replicas(partition, count)).len()
        });
        let id = sys::bindings::rd_kafka_TopicDescription_topic_id(description);
        Ok(Some(TopicDescription {
            id: text(sys::bindings::rd_kafka_Uuid_base64str(id)),
            partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i32::try_from(replicas).unwrap_or(i32::MAX),
        }))
    }
}

pub(super) fn end_offsets<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    partitions: i32,
    timeout: Duration,
) -> Result<Vec<i64>, NativeError> {
    const ACTION: &str = "list the end offsets";
    let name = c_string(ACTION, name)?;
    // SAFETY: the list is freed after the request, which copies it; added entries live as long as the list.
    let answer = unsafe {
        let list = Owned {
            pointer: sys::bindings::rd_kafka_topic_partition_list_new(partitions),
            free: sys::bindings::rd_kafka_topic_partition_list_destroy,
        };
        for partition in 0..partitions {
            let entry =
                sys::bindings::rd_kafka_topic_partition_list_add(list.pointer, name.as_ptr(), partition);
            (*entry).offset = sys::bindings::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64;
        }
        let operation = sys::bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        request(client, ACTION, operation, timeout, |native, options, queue| {
            sys::bindings::rd_kafka_ListOffsets(native, list.pointer, options, queue);
        })?
    };
    // SAFETY: the answer outlives every pointer read from it here; counts bound the arrays.
    let mut by_partition = unsafe {
        let result = sys::bindings::rd_kafka_event_ListOffsets_result(answer.pointer);
        let infos = slice(|count| sys::bindings::rd_kafka_ListOffsets_result_infos(result, count));
        let mut by_partition = Vec::with_capacity(infos.len());
        for &info in infos {
            let entry = &*sys::bindings::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
            check_code(ACTION, entry.err, || text(sys::bindings::rd_kafka_err2str(entry.err)))?;
            if entry.offset < 0 {
                // librdkafka 2.12 drops the errors of single brokers, and leaves what it began with.
                let code = RDKafkaErrorCode::RequestTimedOut;
                let reason = format!("the leader of partition {} does not answer", entry.partition);
                return Err(NativeError { action: ACTION, code, reason });
            }
            by_partition.push((entry.partition, entry.offset));
        }
        by_partition
    };
    by_partition.sort_unstable();
    Ok(by_partition.into_iter().map(|(_, offset)| offset).collect())
}

pub(super) fn alter_topic_config<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    changes: &BTreeMap<String, String>,
    timeout: Duration,
) -> Result<(), NativeError> {
    const ACTION: &str = "change the topic's settings";
    let name = c_string(ACTION, name)?;
    // SAFETY: strings live over the calls that copy them; the resource is freed after the request, which copies it.
    let answer = unsafe {
        let kind = sys::bindings::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        let resource = Owned {
            pointer: sys::bindings::rd_kafka_ConfigResource_new(kind, name.as_ptr()),
            free: sys::bindings::rd_kafka_ConfigResource_destroy,
        };
        for (setting, value) in changes {
            let (setting, value) = (c_string(ACTION, setting)?, c_string(ACTION, value)?);
            let set = sys::bindings::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
            let error = Owned {
                pointer: sys::bindings::rd_kafka_ConfigResource_add_incremental_config(
                    resource.pointer,
                    setting.as_ptr(),
                    set,
                    value.as_ptr(),
                ),
                free: sys::bindings::rd_kafka_error_destroy,
            };
            check(ACTION, error.pointer)?;
        }
        let mut resources = [resource.pointer];
        let operation = sys::bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        request(client, ACTION, operation, timeout, |native, options, queue| {
            sys::bindings::rd_kafka_IncrementalAlterConfigs(
                native,
                resources.as_mut_ptr(),
                resources.len(),
                options,
                queue,
            );
        })?
    };
    // SAFETY: the answer outlives every pointer read from it here; counts bound the arrays.
    unsafe {
        let result = sys::bindings::rd_kafka_event_IncrementalAlterConfigs_result(answer.pointer);
        for &resource in
            slice(|count| sys::bindings::rd_kafka_IncrementalAlterConfigs_result_resources(result, count))
        {
            let code = sys::bindings::rd_kafka_ConfigResource_error(resource);
            check_code(ACTION, code, || text(sys::bindings::rd_kafka_ConfigResource_error_string(resource)))?;
        }
    }
    Ok(())
}

/// Where the brokers say that they answer: host and port.
pub(super) fn brokers<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<BTreeSet<(String, u16)>, NativeError> {
    const ACTION: &str = "list the brokers";
    let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let mut metadata: *const sys::bindings::rd_kafka_metadata = ptr::null();
    // SAFETY: no topic is asked for, so none is passed; what is answered is read before it is freed, its count bounds its array.
    unsafe {
        let error = sys::bindings::rd_kafka_metadata(
            client.native_ptr(),
            0,
            ptr::null_mut(),
            &raw mut metadata,
            timeout,
        );
        check_code(ACTION, error, || text(sys::bindings::rd_kafka_err2str(error)))?;
        let (brokers, count) =
            ((*metadata).brokers, usize::try_from((*metadata).broker_cnt).unwrap_or_default());
        let brokers = if brokers.is_null() { &[] } else { std::slice::from_raw_parts(brokers, count) };
        let address = |broker: &sys::bindings::rd_kafka_metadata_broker| {
            Some((text(broker.host), u16::try_from(broker.port).ok()?))
        };
        let brokers = brokers.iter().filter_map(address).collect();
        sys::bindings::rd_kafka_metadata_destroy(metadata);
        Ok(brokers)
    }
}

/// The partition of the records with this key, by the partitioner of our producers.
pub(super) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // SAFETY: the key is read up to its length; the function is documented to look at nothing else but the count, which is
    // not 0 here.
    unsafe {
        sys::bindings::rd_kafka_msg_partitioner_murmur2(
            ptr::null(),
            key.as_ptr().cast::<c_void>(),
            key.len(),
            partitions.max(1),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    }
}

/// Empties the client's log into ours. The lines that tell of failures, oldest first.
pub(super) fn drain_log<C: ClientContext>(client: &Client<C>) -> Vec<String> {
    let mut failures = Vec::new();
    // SAFETY: the queue and each event are freed by their owners; strings are copied before their event is freed.
    unsafe {
        let queue = Owned {
            pointer: sys::bindings::rd_kafka_queue_get_main(client.native_ptr()),
            free: sys::bindings::rd_kafka_queue_destroy,
        };
        loop {
            let event = Owned {
                pointer: sys::bindings::rd_kafka_queue_poll(queue.pointer, 0),
                free: sys::bindings::rd_kafka_event_destroy,
            };
            if event.pointer.is_null() {
                return failures;
            }
            let (mut facility, mut line, mut level): (*const c_char, *const c_char, c_int) =
                (ptr::null(), ptr::null(), 0);
            if sys::bindings::rd_kafka_event_log(event.pointer, &mut facility, &mut line, &mut level) != 0 {
                continue;
            }
            let line = text(line);
            tracing::debug!(facility = text(facility), level, "librdkafka: {line}");
            if level <= LOG_LEVEL_ERROR {
                failures.push(line);
            }
        }
    }
}

/// Sends one request and waits for its answer.
///
/// # Safety
/// `submit` must hand options and queue to the request of `operation`, and keep neither.
unsafe fn request<C: ClientContext>(
    client: &Client<C>,
    action: &'static str,
    operation: sys::bindings::rd_kafka_admin_op_t,
    timeout: Duration,
    submit: impl FnOnce(*mut sys::RDKafka, *const sys::bindings::rd_kafka_AdminOptions_t, *mut sys::RDKafkaQueue),
) -> Result<Owned<sys::RDKafkaEvent>, NativeError> {
    // SAFETY: the client outlives the call; options and queue are freed at its end, after the answer has come
    // or been given up, which librdkafka allows.
    unsafe {
        let native = client.native_ptr();
        let options = Owned {
            pointer: sys::bindings::rd_kafka_AdminOptions_new(native, operation),
            free: sys::bindings::rd_kafka_AdminOptions_destroy,
        };
        let no_text = ptr::null_mut();
        let code = sys::bindings::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            milliseconds(timeout),
            no_text,
            0,
        );
        check_code(action, code, || text(sys::bindings::rd_kafka_err2str(code)))?;
        let queue = Owned {
            pointer: sys::bindings::rd_kafka_queue_new(native),
            free: sys::bindings::rd_kafka_queue_destroy,
        };
        submit(native, options.pointer, queue.pointer);
        let answer = Owned {
            pointer: sys::bindings::rd_kafka_queue_poll(queue.pointer, milliseconds(timeout + GRACE)),
            free: sys::bindings::rd_kafka_event_destroy,
        };
        if answer.pointer.is_null() {
            let code = RDKafkaErrorCode::OperationTimedOut;
            return Err(NativeError { action, code, reason: code.to_string() });
        }
        let code = sys::bindings::rd_kafka_event_error(answer.pointer);
        check_code(action, code, || text(sys::bindings::rd_kafka_event_error_string(answer.pointer)))?;
        Ok(answer)
    }
}

/// # Safety
/// `error` must be null or an error that lives over the call.
unsafe fn check(
    action: &'static str,
    error: *const sys::bindings::rd_kafka_error_t,
) -> Result<(), NativeError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and alive by the caller's promise.
    unsafe {
        let code = sys::bindings::rd_kafka_error_code(error);
        check_code(action, code, || text(sys::bindings::rd_kafka_error_string(error)))
    }
}

fn check_code(
    action: &'static str,
    code: sys::RDKafkaRespErr,
    reason: impl FnOnce() -> String,
) -> Result<(), NativeError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(NativeError { action, code, reason: reason() }),
    }
}

/// An array that librdkafka tells by pointer and count.
///
/// # Safety
/// `read` must return an array of as many elements as it counts, which lives as long as it is used.
unsafe fn slice<'a, T>(read: impl FnOnce(*mut usize) -> *mut *const T) -> &'a [*const T] {
    let mut count = 0;
    let array = read(&mut count);
    // SAFETY: by the caller's promise; an empty array may be null, which a slice must not.
    if array.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(array, count) } }
}

/// # Safety
/// `pointer` must be null or a string that ends with a zero byte.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and terminated by the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim().to_owned()
}

fn c_string(action: &'static str, value: &str) -> Result<CString, NativeError> {
    let code = RDKafkaErrorCode::InvalidArgument;
    CString::new(value).map_err(|error| NativeError { action, code, reason: error.to_string() })
}

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
