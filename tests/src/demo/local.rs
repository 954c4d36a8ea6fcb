//! The stage without a cluster: `plaudit local`.

use std::path::Path;

use anyhow::Result;
use plaudit::snapshot::Snapshot;

use super::show::Show;
use super::stage::Stage;
use crate::example;
use crate::fleet::{Fleet, Settings};
use crate::stack::Stack;

pub(super) struct Local(Fleet);

impl Local {
    pub(super) fn start(show: &mut Show, stack: &Stack) -> Result<Self> {
        show.step("starting `plaudit local -f examples/pipeline.yaml` on them")?;
        let fleet = Fleet::start(&Settings {
            plaudit: "plaudit",
            worker: "plaudit-worker",
            file: Path::new(example::PATH),
            bootstrap_servers: stack.kafka.bootstrap(),
            store_address: stack.valkey.address(),
            poll_seconds: 1.0,
            secrets: None,
            log: None,
        })?;
        Ok(Self(fleet))
    }
}

impl Stage for Local {
    fn look(&mut self) -> Result<Option<Snapshot>> {
        self.0.look()
    }

    fn stop(&mut self, show: &mut Show) -> Result<()> {
        show.step("stopping the workers")?;
        self.0.stop()
    }
}
