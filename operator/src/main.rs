//! The `plaudit` program.

fn main() -> std::process::ExitCode {
    plaudit::commands::main()
}
