//! Requests of librdkafka's admin interface that its wrapper lacks: rights, SCRAM users, settings of a running broker.
//!
//! Each is asked on a queue of its own and waited for.

use std::ffi::{CStr, CString, c_char};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;
use rdkafka::client::DefaultClientContext;
use sys::rd_kafka_admin_op_t as op;

use super::START_LIMIT;

type Client = AdminClient<DefaultClientContext>;
/// The answer; alive while it is read.
type Event = *mut sys::rd_kafka_event_t;

/// An object of the library, destroyed when dropped.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from librdkafka together with its destructor, and nobody uses it afterwards.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// A right: who may do what to what.
pub(super) struct Right<'a> {
    pub(super) kind: sys::rd_kafka_ResourceType_t,
    pub(super) name: &'a str,
    pub(super) pattern: sys::rd_kafka_ResourcePatternType_t,
    pub(super) principal: &'a str,
    pub(super) operation: sys::rd_kafka_AclOperation_t,
}

/// Another password for a SCRAM user, or (`None`) the end of one.
pub(super) struct Credential<'a> {
    pub(super) user: &'a str,
    pub(super) mechanism: sys::rd_kafka_ScramMechanism_t,
    pub(super) password: Option<&'a str>,
}

/// Adds rights, all in one request.
pub(super) fn create_acls(client: &Client, rights: &[Right<'_>]) -> Result<()> {
    let bindings = rights.iter().map(|right| binding(right, Side::New)).collect::<Result<Vec<_>>>()?;
    let mut pointers: Vec<_> = bindings.iter().map(|binding| binding.0).collect();
    // SAFETY: `ask` passes what is alive, and the bindings are until its end; results belong to the event.
    unsafe {
        ask(
            client,
            op::RD_KAFKA_ADMIN_OP_CREATEACLS,
            |rk, options, queue| {
                sys::rd_kafka_CreateAcls(rk, pointers.as_mut_ptr(), pointers.len(), options, queue);
            },
            |event| {
                let result = sys::rd_kafka_event_CreateAcls_result(event);
                let mut count = 0;
                let results = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
                let mut results = slice(results, count).iter();
                results.try_for_each(|result| check(sys::rd_kafka_acl_result_error(*result)))
            },
        )
    }
}

/// Removes rights, all in one request. Each must have been there.
pub(super) fn delete_acls(client: &Client, rights: &[Right<'_>]) -> Result<()> {
    let filters = rights.iter().map(|right| binding(right, Side::Filter)).collect::<Result<Vec<_>>>()?;
    let mut pointers: Vec<_> = filters.iter().map(|filter| filter.0).collect();
    // SAFETY: as in `create_acls`.
    unsafe {
        ask(
            client,
            op::RD_KAFKA_ADMIN_OP_DELETEACLS,
            |rk, options, queue| {
                sys::rd_kafka_DeleteAcls(rk, pointers.as_mut_ptr(), pointers.len(), options, queue);
            },
            |event| {
                let result = sys::rd_kafka_event_DeleteAcls_result(event);
                let mut count = 0;
                let responses = sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
                for response in slice(responses, count) {
                    check(sys::rd_kafka_DeleteAcls_result_response_error(*response))?;
                    let mut deleted = 0;
                    sys::rd_kafka_DeleteAcls_result_response_matching_acls(*response, &raw mut deleted);
                    ensure!(deleted > 0, "there was no such right");
                }
                Ok(())
            },
        )
    }
}

/// Whether the broker knows of a right.
pub(super) fn has_acl(client: &Client, right: &Right<'_>) -> Result<bool> {
    let filter = binding(right, Side::Filter)?;
    // SAFETY: as in `create_acls`.
    unsafe {
        ask(
            client,
            op::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
            |rk, options, queue| sys::rd_kafka_DescribeAcls(rk, filter.0, options, queue),
            |event| {
                let result = sys::rd_kafka_event_DescribeAcls_result(event);
                let mut count = 0;
                sys::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
                Ok(count > 0)
            },
        )
    }
}

/// Changes a SCRAM user.
pub(super) fn alter_scram(client: &Client, credential: &Credential<'_>) -> Result<()> {
    let alteration = alteration(credential)?;
    let mut pointers = [alteration.0];
    // SAFETY: as in `create_acls`.
    unsafe {
        ask(
            client,
            op::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS,
            |rk, options, queue| {
                sys::rd_kafka_AlterUserScramCredentials(rk, pointers.as_mut_ptr(), 1, options, queue);
            },
            |event| {
                let result = sys::rd_kafka_event_AlterUserScramCredentials_result(event);
                let mut count = 0;
                let responses =
                    sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &raw mut count);
                slice(responses, count).iter().try_for_each(|response| {
                    check(sys::rd_kafka_AlterUserScramCredentials_result_response_error(*response))
                })
            },
        )
    }
}

/// Sets one setting of the running broker 1.
pub(super) fn set_broker(client: &Client, name: &str, value: &str) -> Result<()> {
    let (broker, name, value) = (c_string("1")?, c_string(name)?, c_string(value)?);
    // SAFETY: as in `create_acls`; names and value are copied.
    unsafe {
        let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER;
        let resource = Owned(
            sys::rd_kafka_ConfigResource_new(kind, broker.as_ptr()),
            sys::rd_kafka_ConfigResource_destroy,
        );
        let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
        let added = sys::rd_kafka_ConfigResource_add_incremental_config(
            resource.0,
            name.as_ptr(),
            set,
            value.as_ptr(),
        );
        check(Owned(added, sys::rd_kafka_error_destroy).0)?;
        let mut pointers = [resource.0];
        ask(
            client,
            op::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
            |rk, options, queue| {
                sys::rd_kafka_IncrementalAlterConfigs(rk, pointers.as_mut_ptr(), 1, options, queue);
            },
            |event| {
                let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
                let mut count = 0;
                let resources =
                    sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
                slice(resources, count).iter().try_for_each(|resource| {
                    let said = sys::rd_kafka_ConfigResource_error_string(*resource);
                    if said.is_null() { Ok(()) } else { Err(anyhow!("kafka refuses it: {}", text(said))) }
                })
            },
        )
    }
}

/// Asks, waits for the answer, and reads it.
///
/// # Safety
/// `send` sends one request of this kind, `read` reads answers of it; neither keeps what it is given.
unsafe fn ask<T>(
    client: &Client,
    kind: op,
    send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(Event) -> Result<T>,
) -> Result<T> {
    // SAFETY: the client outlives all of it; options, queue and event are destroyed in the reverse order, by `Owned`.
    unsafe {
        let rk = client.inner().native_ptr();
        let options = Owned(sys::rd_kafka_AdminOptions_new(rk, kind), sys::rd_kafka_AdminOptions_destroy);
        let queue = Owned(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy);
        send(rk, options.0, queue.0);
        let limit = i32::try_from(START_LIMIT.as_millis())?;
        let event = Owned(sys::rd_kafka_queue_poll(queue.0, limit), sys::rd_kafka_event_destroy);
        if event.0.is_null() {
            bail!("kafka did not answer");
        }
        let said = sys::rd_kafka_event_error_string(event.0);
        if sys::rd_kafka_event_error(event.0) as i32 != 0 {
            bail!("kafka refuses it: {}", text(said));
        }
        read(event.0)
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    New,
    Filter,
}

fn binding(right: &Right<'_>, side: Side) -> Result<Owned<sys::rd_kafka_AclBinding_t>> {
    let (name, principal, host) = (c_string(right.name)?, c_string(right.principal)?, c_string("*")?);
    let allow = sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
    let make = match side {
        Side::New => sys::rd_kafka_AclBinding_new,
        Side::Filter => sys::rd_kafka_AclBindingFilter_new,
    };
    let mut said: [c_char; 256] = [0; 256];
    // SAFETY: the library copies all texts, and writes at most as much as it is told fits.
    unsafe {
        let made = make(
            right.kind,
            name.as_ptr(),
            right.pattern,
            principal.as_ptr(),
            host.as_ptr(),
            right.operation,
            allow,
            said.as_mut_ptr(),
            said.len(),
        );
        ensure!(!made.is_null(), "not a right: {}", text(said.as_ptr()));
        Ok(Owned(made, sys::rd_kafka_AclBinding_destroy))
    }
}

fn alteration(credential: &Credential<'_>) -> Result<Owned<sys::rd_kafka_UserScramCredentialAlteration_t>> {
    /// The least that Kafka allows: a guess costs an attacker less, a test too.
    const ITERATIONS: i32 = 4_096;
    let user = c_string(credential.user)?;
    // SAFETY: user and password are copied; without a salt the library draws one.
    let made = unsafe {
        match credential.password {
            Some(password) => sys::rd_kafka_UserScramCredentialUpsertion_new(
                user.as_ptr(),
                credential.mechanism,
                ITERATIONS,
                password.as_ptr(),
                password.len(),
                std::ptr::null(),
                0,
            ),
            None => sys::rd_kafka_UserScramCredentialDeletion_new(user.as_ptr(), credential.mechanism),
        }
    };
    Ok(Owned(made, sys::rd_kafka_UserScramCredentialAlteration_destroy))
}

/// # Safety
/// `error` is null or alive.
unsafe fn check(error: *const sys::rd_kafka_error_t) -> Result<()> {
    // SAFETY: as the caller promises; the library takes null for no error.
    unsafe {
        if sys::rd_kafka_error_code(error) as i32 == 0 {
            return Ok(());
        }
        bail!("kafka refuses it: {}", text(sys::rd_kafka_error_string(error)))
    }
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

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).context("a zero byte in what kafka is asked")
}
