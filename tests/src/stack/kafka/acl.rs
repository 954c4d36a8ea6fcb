//! Rights: who may do what to what, on the secure listeners.

use anyhow::{Context as _, Result};
use rdkafka::bindings as sys;
use sys::rd_kafka_AclOperation_t as operation;
use sys::rd_kafka_ResourcePatternType_t as pattern;
use sys::rd_kafka_ResourceType_t as kind;

use super::native::{self, Right};
use super::{Kafka, START_LIMIT};
use crate::stack::{unique_name, until};

/// That a user may do something. Users are called as on their listener, without the `User:` of Kafka's own tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    pub user: String,
    pub resource: Resource,
    pub operation: Operation,
}

/// To what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Topic(String),
    /// All whose name begins so.
    Topics(String),
    Group(String),
    Cluster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    All,
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    DescribeConfigs,
    IdempotentWrite,
}

impl Acl {
    pub fn new(user: &str, resource: Resource, operation: Operation) -> Self {
        Self { user: user.to_owned(), resource, operation }
    }
}

impl Kafka {
    /// Adds rights, all at once; they hold when it returns.
    pub fn allow(&self, acls: &[Acl]) -> Result<()> {
        let principals = principals(acls);
        native::create_acls(&self.admin()?, &rights(acls, &principals)).context("could not add rights")?;
        self.settle()
    }

    /// Removes rights, all at once; they no longer hold when it returns. Each must have been there.
    pub fn disallow(&self, acls: &[Acl]) -> Result<()> {
        let principals = principals(acls);
        native::delete_acls(&self.admin()?, &rights(acls, &principals)).context("could not remove rights")?;
        self.settle()
    }

    /// Waits until the broker knows all that the controller has accepted so far: it learns it in order, and rights last of what comes
    /// together.
    pub(super) fn settle(&self) -> Result<()> {
        let last = [Acl::new(&unique_name("nobody"), Resource::Cluster, Operation::Describe)];
        let (admin, principals) = (self.admin()?, principals(&last));
        let rights = rights(&last, &principals);
        native::create_acls(&admin, &rights).context("could not add a right")?;
        until("the broker to learn of a change", START_LIMIT, || {
            Ok(native::has_acl(&admin, &rights[0])?.then_some(()))
        })
    }
}

fn principals(acls: &[Acl]) -> Vec<String> {
    acls.iter().map(|acl| format!("User:{}", acl.user)).collect()
}

fn rights<'a>(acls: &'a [Acl], principals: &'a [String]) -> Vec<Right<'a>> {
    let right = |(acl, principal): (&'a Acl, &'a String)| {
        let (kind, name, pattern) = match &acl.resource {
            Resource::Topic(name) => (kind::RD_KAFKA_RESOURCE_TOPIC, &**name, LITERAL),
            Resource::Topics(prefix) => (kind::RD_KAFKA_RESOURCE_TOPIC, &**prefix, PREFIXED),
            Resource::Group(name) => (kind::RD_KAFKA_RESOURCE_GROUP, &**name, LITERAL),
            Resource::Cluster => (kind::RD_KAFKA_RESOURCE_BROKER, CLUSTER, LITERAL),
        };
        Right { kind, name, pattern, principal, operation: acl.operation.native() }
    };
    acls.iter().zip(principals).map(right).collect()
}

const LITERAL: pattern = pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL;
const PREFIXED: pattern = pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED;
/// What Kafka calls the cluster; librdkafka's "broker" is the same kind of resource.
const CLUSTER: &str = "kafka-cluster";

impl Operation {
    fn native(self) -> operation {
        match self {
            Self::All => operation::RD_KAFKA_ACL_OPERATION_ALL,
            Self::Read => operation::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => operation::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::Create => operation::RD_KAFKA_ACL_OPERATION_CREATE,
            Self::Delete => operation::RD_KAFKA_ACL_OPERATION_DELETE,
            Self::Alter => operation::RD_KAFKA_ACL_OPERATION_ALTER,
            Self::Describe => operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::DescribeConfigs => operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            Self::IdempotentWrite => operation::RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE,
        }
    }
}
