//! What the demo shows: steps with the time since `make demo`, and between them the fleet, on a terminal as one screen drawn again
//! and again, elsewhere as a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Steps of the past that stay on the screen.
const STEPS_SHOWN: usize = 12;
/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Show {
    begin: Instant,
    terminal: bool,
    steps: Vec<String>,
    drawing: bool,
    last_line: Option<Instant>,
}

impl Show {
    /// `elapsed`: what has passed of the demo already.
    pub(super) fn new(elapsed: Duration) -> Self {
        let begin = Instant::now().checked_sub(elapsed).unwrap_or_else(Instant::now);
        Self {
            begin,
            terminal: io::stdout().is_terminal(),
            steps: Vec::new(),
            drawing: false,
            last_line: None,
        }
    }

    /// Something was done or happened; shown at once and kept on the screen.
    pub(super) fn step(&mut self, text: &str) -> io::Result<()> {
        let line = format!("[{:3} s] {text}", self.begin.elapsed().as_secs());
        if !self.drawing {
            writeln!(io::stdout(), "{line}")?;
        }
        self.steps.push(line);
        Ok(())
    }

    /// The fleet as it is now. `screen` gets the lines to show below it.
    pub(super) fn fleet(
        &mut self,
        screen: impl FnOnce(&[String]) -> String,
        line: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if self.terminal {
            let from = self.steps.len().saturating_sub(STEPS_SHOWN);
            let mut extra = vec![String::new()];
            extra.extend_from_slice(&self.steps[from..]);
            let clear = !std::mem::replace(&mut self.drawing, true);
            return draw(&screen(&extra), clear);
        }
        if self.last_line.is_none_or(|shown| shown.elapsed() >= LINE_EVERY) {
            writeln!(io::stdout(), "[{:3} s] {}", self.begin.elapsed().as_secs(), line())?;
            self.last_line = Some(Instant::now());
        }
        Ok(())
    }

    /// A picture of the fleet where no screen is drawn.
    pub(super) fn picture(&self, text: &str) -> io::Result<()> {
        if self.terminal || text.is_empty() { Ok(()) } else { writeln!(io::stdout(), "\n{text}") }
    }

    /// The screen stays as it is, and what follows comes below.
    pub(super) fn end_fleet(&mut self) {
        self.drawing = false;
    }

    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{text}")
    }
}

/// Over the last one, without the flicker of clearing each time. The terminal cuts lines that are too long for it, since one that
/// became two would push the frame out of place.
fn draw(screen: &str, clear: bool) -> io::Result<()> {
    let mut frame = String::from(if clear { "\x1b[?7l\x1b[2J\x1b[H" } else { "\x1b[?7l\x1b[H" });
    for line in screen.lines() {
        frame.push_str(line);
        frame.push_str("\x1b[K\r\n");
    }
    frame.push_str("\x1b[J\x1b[?7h");
    let mut out = io::stdout().lock();
    out.write_all(frame.as_bytes())?;
    out.flush()
}
