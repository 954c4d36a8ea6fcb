//! A trace is what arrives, as a CSV file: `second,p0,p1,…` and perhaps `capacity`.
//!
//! A row holds from its second until the next row's: records produced to each partition in each of these seconds. An empty cell is a
//! partition that cannot be reached: its lag is unknown, and nothing is produced or consumed. `capacity` is a factor on what workers can
//! take, 1 where the column is missing.

use std::io::{self, Read};

/// Arrivals over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    partitions: usize,
    rows: Vec<Row>,
}

/// What happens in each second from this one on.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Since the trace began.
    pub second: u64,
    /// Records for each partition, in a second; `None`: it cannot be reached.
    pub produced: Vec<Option<f64>>,
    /// Factor on a worker's capacity.
    pub capacity: f64,
}

/// Why a file is no trace: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// The cell's name, or its place from 1 where it has none.
    pub column: String,
    /// Cause and next step.
    pub problem: String,
}

/// The columns of a file.
struct Header {
    names: Vec<String>,
    partitions: usize,
    capacity: bool,
}

/// A day at one row a second is 86,400; a week is more than anybody looks at.
const MOST_SECONDS: u64 = 604_800;
/// What Kafka bears in one topic, generously.
const MOST_PARTITIONS: usize = 10_000;
/// Seconds times partitions: a week of eighty. Each that nothing is consumed in is remembered.
const MOST_PARTITION_SECONDS: u64 = 50_000_000;
/// Longest file, in bytes: a row for each second of that, with cells of five letters.
const MAX_BYTES: u64 = 256 << 20;
/// Records a second and partition; far above any broker's.
const MOST_RECORDS: f64 = 1e9;

impl Trace {
    /// A trace of rows, the first of which begins at second 0. The last one lasts as long as the one before it.
    ///
    /// # Errors
    /// The row that does not ascend, or has another number of partitions, as its line in a file.
    pub fn new(partitions: usize, rows: Vec<Row>) -> Result<Self, TraceError> {
        let mut next = 0;
        for (index, row) in rows.iter().enumerate() {
            let error = |column: &str, problem: String| TraceError {
                line: index + 2,
                column: column.to_owned(),
                problem,
            };
            let ascends = if index == 0 { row.second == 0 } else { row.second >= next };
            if !ascends {
                let wanted = if index == 0 { "0".to_owned() } else { format!("at least {next}") };
                return Err(error("second", format!("{} is out of order; write {wanted}", row.second)));
            }
            if row.second > MOST_SECONDS {
                return Err(error(
                    "second",
                    format!("{} is too late; a trace has at most {MOST_SECONDS} seconds", row.second),
                ));
            }
            if row.produced.len() != partitions {
                return Err(error("p0", format!("{} partitions; write {partitions}", row.produced.len())));
            }
            next = row.second + 1;
        }
        if rows.is_empty() {
            return Err(TraceError {
                line: 2,
                column: "second".to_owned(),
                problem: "there is no row; write at least one after the header".to_owned(),
            });
        }
        let trace = Self { partitions, rows };
        match too_much(trace.seconds(), partitions) {
            None => Ok(trace),
            Some(problem) => {
                Err(TraceError { line: trace.rows.len() + 1, column: "second".to_owned(), problem })
            }
        }
    }

    /// Reads a CSV file.
    ///
    /// # Errors
    /// The first cell that is wrong.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((index, first)) = lines.next() else {
            return Err(TraceError {
                line: 1,
                column: "1".to_owned(),
                problem: "the file is empty; begin it with second,p0,p1,…".to_owned(),
            });
        };
        let header = Header::parse(index + 1, first)?;
        let mut rows: Vec<Row> = Vec::new();
        for (index, line) in lines {
            let row = header.row(index + 1, line)?;
            let least = rows.last().map_or(0, |last| last.second + 1);
            if row.second < least || (rows.is_empty() && row.second != 0) || row.second > MOST_SECONDS {
                let wanted = match rows.is_empty() {
                    true => "begin at 0".to_owned(),
                    false => format!("write {least} to {MOST_SECONDS}"),
                };
                let problem = format!("{} is out of order; {wanted}", row.second);
                return Err(TraceError { line: index + 1, column: "second".to_owned(), problem });
            }
            if let Some(problem) = too_much(row.second + 1, header.partitions) {
                return Err(TraceError { line: index + 1, column: "second".to_owned(), problem });
            }
            rows.push(row);
        }
        Self::new(header.partitions, rows)
    }

    /// The text of a file, or as much of it as a trace may have, which then ends in the middle of a row.
    ///
    /// # Errors
    /// It cannot be read, or is not UTF-8.
    pub fn read_text(file: impl Read) -> io::Result<String> {
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The same as a file.
    #[must_use]
    pub fn to_csv(&self) -> String {
        use std::fmt::Write as _;
        let with_capacity = self.rows.iter().any(|row| (row.capacity - 1.0).abs() > f64::EPSILON);
        let mut text = "second".to_owned();
        (0..self.partitions).for_each(|partition| _ = write!(text, ",p{partition}"));
        text.push_str(if with_capacity { ",capacity\n" } else { "\n" });
        for row in &self.rows {
            _ = write!(text, "{}", row.second);
            for cell in &row.produced {
                _ = match cell {
                    Some(records) => write!(text, ",{records}"),
                    None => write!(text, ","),
                };
            }
            if with_capacity {
                _ = write!(text, ",{}", row.capacity);
            }
            text.push('\n');
        }
        text
    }

    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Its length.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        match &self.rows[..] {
            [.., before, last] => last.second + (last.second - before.second),
            [_] | [] => 1,
        }
    }

    /// What happens in a second.
    #[must_use]
    pub fn row(&self, second: u64) -> &Row {
        let after = self.rows.partition_point(|row| row.second <= second);
        // The first row begins at 0.
        &self.rows[after.saturating_sub(1)]
    }
}

impl Header {
    fn parse(line: usize, text: &str) -> Result<Self, TraceError> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let capacity = names.last().is_some_and(|name| name == "capacity");
        let partitions = names.len().saturating_sub(1 + usize::from(capacity));
        for (index, name) in names.iter().enumerate() {
            let wanted = match index {
                0 => "second".to_owned(),
                index if index <= partitions => format!("p{}", index - 1),
                _ => "capacity".to_owned(),
            };
            if *name != wanted {
                let hint = if index > 1 { " (or capacity, as the last column)" } else { "" };
                let problem = format!("{name:?} is not known here; write {wanted}{hint}");
                return Err(TraceError { line, column: (index + 1).to_string(), problem });
            }
        }
        if partitions == 0 || partitions > MOST_PARTITIONS {
            let problem = format!("{partitions} partitions; write 1 to {MOST_PARTITIONS} columns p0, p1, …");
            return Err(TraceError { line, column: "2".to_owned(), problem });
        }
        Ok(Self { names, partitions, capacity })
    }

    fn row(&self, line: usize, text: &str) -> Result<Row, TraceError> {
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        let error = |index: usize, problem: String| TraceError {
            line,
            column: self.names.get(index).cloned().unwrap_or_else(|| (index + 1).to_string()),
            problem,
        };
        if cells.len() != self.names.len() {
            let problem =
                format!("{} cells, but the header has {}; write one for each", cells.len(), self.names.len());
            return Err(error(cells.len().min(self.names.len()), problem));
        }
        let second = cells[0].parse().map_err(|_| {
            error(0, format!("{:?} is not a whole number of seconds; write one, from 0", cells[0]))
        })?;
        let produced = cells[1..=self.partitions].iter().enumerate().map(|(index, cell)| match *cell {
            "" => Ok(None),
            cell => number(cell, MOST_RECORDS).map(Some).map_err(|problem| error(index + 1, problem)),
        });
        let produced: Vec<Option<f64>> = produced.collect::<Result<_, _>>()?;
        let capacity = match (self.capacity, cells.last()) {
            (true, Some(cell)) => number(cell, 1000.0).map_err(|problem| error(cells.len() - 1, problem))?,
            (true, None) | (false, _) => 1.0,
        };
        Ok(Row { second, produced, capacity })
    }
}

fn too_much(seconds: u64, partitions: usize) -> Option<String> {
    (seconds.saturating_mul(partitions as u64) > MOST_PARTITION_SECONDS).then(|| {
        format!(
            "{seconds} seconds of {partitions} partitions are more than {MOST_PARTITION_SECONDS} in all; give a shorter trace, or fewer partitions"
        )
    })
}

fn number(cell: &str, most: f64) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(value) if (0.0..=most).contains(&value) => Ok(value),
        Ok(_) => Err(format!("{cell} is out of range; write a number from 0 to {most}")),
        Err(_) => Err(format!("{cell:?} is not a number; write one from 0, or nothing where it is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_until_the_next_one_and_an_empty_cell_is_unknown() {
        let text = "second,p0,p1,capacity\n0,10,2.5,1\n\n5,,3,0.5\r\n10,7,8,1\n";

        let trace = Trace::parse(text).expect("a trace");

        let row = |second, produced: [Option<f64>; 2], capacity| Row {
            second,
            produced: produced.to_vec(),
            capacity,
        };
        let (first, second, third) = (
            row(0, [Some(10.0), Some(2.5)], 1.0),
            row(5, [None, Some(3.0)], 0.5),
            row(10, [Some(7.0), Some(8.0)], 1.0),
        );
        assert_eq!(
            (
                trace.partitions(),
                trace.seconds(),
                [0, 4, 5, 9, 10, 14].map(|second| trace.row(second).clone())
            ),
            (2, 15, [first.clone(), first, second.clone(), second, third.clone(), third])
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "second,p0,capacity\n0,10,1\n1,,0.5\n2,2.5,1\n";

        assert_eq!(Trace::parse(text).expect("a trace").to_csv(), text);
    }

    #[test]
    fn a_trace_of_too_many_seconds_and_partitions_is_refused() {
        let names: Vec<String> = (0..MOST_PARTITIONS).map(|partition| format!("p{partition}")).collect();
        let of = |seconds: &[u64]| {
            let rows: Vec<String> =
                seconds.iter().map(|second| format!("{second}{}", ",1".repeat(MOST_PARTITIONS))).collect();
            Trace::parse(&format!("second,{}\n{}\n", names.join(","), rows.join("\n")))
        };

        let told = [of(&[0, 2_500]), of(&[0, 2_501]), of(&[0, 5_000])]
            .map(|read| read.map(|trace| trace.seconds()).map_err(|error| error.to_string()));

        let refused = |line: u32, seconds: u32| {
            Err(format!(
                "line {line}, column second: {seconds} seconds of 10000 partitions are more than 50000000 in all; \
                 give a shorter trace, or fewer partitions"
            ))
        };
        assert_eq!(told, [Ok(5_000), refused(3, 5_002), refused(3, 5_001)]);
    }

    #[test]
    fn a_wrong_cell_is_named_with_its_line_column_cause_and_next_step() {
        let cases = [
            ("", "line 1, column 1: the file is empty; begin it with second,p0,p1,…"),
            ("second,p0\n", "line 2, column second: there is no row; write at least one after the header"),
            ("time,p0\n0,1\n", r#"line 1, column 1: "time" is not known here; write second"#),
            ("second\n0\n", "line 1, column 2: 0 partitions; write 1 to 10000 columns p0, p1, …"),
            (
                "second,p0,p2\n0,1,1\n",
                r#"line 1, column 3: "p2" is not known here; write p1 (or capacity, as the last column)"#,
            ),
            ("second,p0\n0,1\n1\n", "line 3, column p0: 1 cells, but the header has 2; write one for each"),
            ("second,p0\n0,1,2\n", "line 2, column 3: 3 cells, but the header has 2; write one for each"),
            (
                "second,p0\n0,1\n\n1,many\n",
                r#"line 4, column p0: "many" is not a number; write one from 0, or nothing where it is unknown"#,
            ),
            (
                "second,p0\n0,-1\n",
                "line 2, column p0: -1 is out of range; write a number from 0 to 1000000000",
            ),
            (
                "second,p0\n0,NaN\n",
                "line 2, column p0: NaN is out of range; write a number from 0 to 1000000000",
            ),
            (
                "second,p0,capacity\n0,1,\n",
                r#"line 2, column capacity: "" is not a number; write one from 0, or nothing where it is unknown"#,
            ),
            ("second,p0\n1,1\n", "line 2, column second: 1 is out of order; begin at 0"),
            ("second,p0\n0,1\n0,1\n", "line 3, column second: 0 is out of order; write 1 to 604800"),
            (
                "second,p0\n-1,1\n",
                r#"line 2, column second: "-1" is not a whole number of seconds; write one, from 0"#,
            ),
        ];

        let answers = cases.map(|(text, _)| Trace::parse(text).expect_err("it is wrong").to_string());

        assert_eq!(answers, cases.map(|(_, expected)| expected));
    }
}
