//! The demo's load: what is sent, as it could be typed, and timed reports beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use plaudit::load::{self, Load, Summary};
use plaudit::pipeline::Pipeline;

use super::Args;
use super::probe::{self, Timings};
use crate::stack::Stack;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: load::Args,
}

/// As it could be typed after `plaudit`.
pub(super) fn line(args: &Args, stack: &Stack, pipeline: &Pipeline) -> Vec<String> {
    let what = match &args.reports {
        Some(path) => vec!["--ndjson".to_owned(), path.display().to_string()],
        None => {
            "--duration 28 --rate 4000 --burst-rate 80000 --burst-at 8 --burst-length 10 --players 50000 \
            --late-share 0.02 --duplicate-share 0.01 --bad-share 0.0005"
                .split_whitespace()
                .map(ToOwned::to_owned)
                .collect()
        }
    };
    let to = ["load", "--bootstrap-servers", &stack.kafka.bootstrap(), "--topic", &pipeline.source.topic];
    to.into_iter().map(ToOwned::to_owned).chain(what).collect()
}

/// What a line asks for.
pub(super) fn parse(line: &[String]) -> Result<Load> {
    Ok(Line::try_parse_from(line).context("the demo's own load is refused")?.args.load())
}

/// The load, and timed reports beside it.
pub(super) fn send<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stack: &'scope Stack,
    pipeline: &'scope Pipeline,
    load: &'scope Load,
    stop: &'scope Arc<AtomicBool>,
) -> ScopedJoinHandle<'scope, Result<(Summary, Timings)>> {
    scope.spawn(move || {
        let over = Arc::new(AtomicBool::new(false));
        let timing = scope.spawn({
            let over = over.clone();
            move || probe::run(stack, pipeline, &over, stop)
        });
        let summary = load::produce(load, stop, &mut |_| {}).context("could not send the load");
        over.store(true, Ordering::Relaxed);
        let timings = timing.join().map_err(|_| anyhow!("timing reports panicked"))??;
        Ok((summary?, timings))
    })
}
