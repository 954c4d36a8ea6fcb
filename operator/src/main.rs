//! The `plaudit` program.

fn main() -> std::process::ExitCode {
    plaudit_worker::process::hide_memory();
    plaudit::commands::main()
}
