//! The worker as the tests run it: built with them, so that it is never an old one, and with the faults that show that
//! a test can fail (`PLAUDIT_TEST_MUTATION`).

use std::process::ExitCode;

fn main() -> ExitCode {
    let mutation = std::env::var("PLAUDIT_TEST_MUTATION").map(|name| name.parse());
    match mutation {
        Err(_) => plaudit_worker::cli::main(plaudit_worker::mutation::Mutation::None),
        Ok(Ok(mutation)) => plaudit_worker::cli::main(mutation),
        Ok(Err(_)) => ExitCode::from(2),
    }
}
