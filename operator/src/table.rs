//! Text in columns and lines of a given width.

/// On which side a column's texts meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Align {
    /// Their beginnings.
    Left,
    /// Their ends.
    Right,
}

/// Rows of equally many cells as lines; `gap` spaces between columns, none at a line's end. Without an alignment: left.
#[must_use]
pub fn columns(rows: &[Vec<String>], alignments: &[Align], gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |cell: &str| cell.chars().count();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - length(cell));
            match alignments.get(column).unwrap_or(&Align::Left) {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([&padding, cell.as_str()]),
            }
            line.push_str(&" ".repeat(gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text behind a label, broken between words, further lines below its beginning.
#[must_use]
pub fn wrapped(label: &str, text: &str, width: usize) -> String {
    let room = width.saturating_sub(label.chars().count()).max(1);
    let mut lines: Vec<String> = vec![String::new()];
    // Spaces inside a line stay, because they group what belongs together.
    for word in text.split_inclusive([' ', '\n']) {
        let plain = word.trim_end();
        let full = lines.last().map_or(0, |line| line.chars().count());
        if full > 0 && full + plain.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&word.replace('\n', " "));
        }
    }
    let indent = " ".repeat(label.chars().count());
    let label_first = std::iter::once(label).chain(std::iter::repeat(indent.as_str()));
    lines
        .iter()
        .zip(label_first)
        .map(|(line, label)| format!("{label}{}\n", cut(line.trim_end(), room)))
        .collect()
}

/// At most `width` characters of a text, on one line.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    let line = text.replace(['\n', '\r'], " ");
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
