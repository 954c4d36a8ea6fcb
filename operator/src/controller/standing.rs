//! Whether a pipeline's children can have changed since they were last as they should be.

use kube::runtime::reflector::{ObjectRef, Store};

use super::shown::{Child, Shown};
use super::watch::Stores;
use crate::children::child_name;
use crate::pipeline::Pipeline;

/// What children were made of, and the versions that the stores showed, when they were as they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    generation: Option<i64>,
    replicas: u32,
    certificates: Option<String>,
    versions: [Option<String>; 4],
}

impl Standing {
    /// As it is before anything is written. A write shows itself by another version.
    pub fn now(stores: &Stores, pipeline: &Pipeline, replicas: u32, certificates: Option<&str>) -> Self {
        let name = child_name(&pipeline.name);
        let versions = [
            version(&stores.config_maps, &name, &pipeline.namespace),
            version(&stores.services, &name, &pipeline.namespace),
            version(&stores.disruption_budgets, &name, &pipeline.namespace),
            version(&stores.deployments, &name, &pipeline.namespace),
        ];
        Self {
            generation: pipeline.generation,
            replicas,
            certificates: certificates.map(str::to_owned),
            versions,
        }
    }

    /// True if nothing has changed since: building and comparing the children is most of the cost of a look.
    pub fn stands(&self, before: Option<&Self>) -> bool {
        self.generation.is_some() && self.versions.iter().all(Option::is_some) && before == Some(self)
    }
}

fn version<K: Child>(store: &Store<Shown<K>>, name: &str, namespace: &str) -> Option<String> {
    store.get(&ObjectRef::new(name).within(namespace)).and_then(|child| child.version.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(generation: i64, replicas: u32, deployment: Option<&str>) -> Standing {
        let versions =
            [Some("1"), Some("2"), Some("3"), deployment].map(|version| version.map(str::to_owned));
        Standing { generation: Some(generation), replicas, certificates: None, versions }
    }

    #[test]
    fn children_stand_while_spec_number_and_versions_are_the_same_and_none_is_missing() {
        let before = standing(1, 2, Some("4"));
        let now = [
            standing(1, 2, Some("4")),
            standing(2, 2, Some("4")),
            standing(1, 3, Some("4")),
            standing(1, 2, Some("5")),
            standing(1, 2, None),
        ];
        let missing = standing(1, 2, None);

        let found = now.each_ref().map(|now| now.stands(Some(&before)));

        assert_eq!(found, [true, false, false, false, false]);
        assert_eq!((before.stands(None), missing.stands(Some(&missing.clone()))), (false, false));
    }
}
