//! `plaudit crd`: the generated CustomResourceDefinition.

use std::io::Write as _;

pub(super) fn run() -> anyhow::Result<()> {
    std::io::stdout().write_all(plaudit_crds::crd_yaml().as_bytes())?;
    Ok(())
}
