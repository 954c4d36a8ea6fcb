//! `plaudit crd`: the generated CustomResourceDefinition.

pub(super) fn run() -> anyhow::Result<()> {
    super::print(&plaudit_crds::crd_yaml())
}
