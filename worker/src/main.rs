//! `plaudit-worker`: consumes reports and stores players until it is told to stop.

use std::process::ExitCode;

use plaudit_worker::mutation::Mutation;

fn main() -> ExitCode {
    plaudit_worker::cli::main(Mutation::None)
}
