//! A trace: what is read is written the same, and says every second.

use plaudit::simulate::Trace;

use super::memory::within;

/// The file's text.
pub fn csv(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // A cell of one byte takes sixteen, and as much again while it is split; the header's names have letters of their own.
    let Ok(trace) = within(128 * text.len() + 4_096, || Trace::parse(text)) else { return };
    assert_eq!(Trace::parse(&trace.to_csv()).as_ref(), Ok(&trace));
    let seconds = trace.seconds();
    for second in [0, seconds / 2, seconds - 1] {
        assert!(trace.row(second).second <= second);
    }
}
