//! Every input that fuzzing kept, held to the promises that it was kept for: `make fuzz` finds new ones.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// What takes an input.
type Feed = fn(&[u8]);

/// Each target by its name, with what it feeds.
const TARGETS: [(&str, Feed); 8] = [
    ("lane_start", fuzz::start::lane),
    ("pipeline", fuzz::pipeline::object),
    ("player_record", fuzz::player::record),
    ("report_json", fuzz::report::json),
    ("report_protobuf", fuzz::report::protobuf),
    ("trace", fuzz::trace::csv),
    ("worker_answer", fuzz::answer::lanes),
    ("worker_config", fuzz::config::worker),
];

/// Each as long as a record may be, of what takes most memory for its length.
#[test]
fn the_most_expensive_reports_cost_little() {
    const LONGEST: usize = 65_536;
    let fill = |head: &str, piece: &str, tail: &str| {
        let room = LONGEST - head.len() - tail.len();
        format!("{head}{}{tail}", piece.repeat(room / piece.len()))
    };
    let item = r#"{"type":1,"value":1},"#;
    let last = r#"{"type":1,"value":1}"#;
    let reports = [
        fill(r#"{"uin":1,"items":["#, item, &format!("{last}]}}")),
        fill(r#"{"uin":1,"x":["#, r#"{"":1},"#, &format!(r#"0],"items":[{last}]}}"#)),
        fill(r#"{"uin":1,"x":["#, "[],", &format!(r#"0],"items":[{last}]}}"#)),
        fill(r#"{"uin":1,"x":["#, "1,", &format!(r#"0],"items":[{last}]}}"#)),
        fill(r#"{"uin":""#, "\u{7f}", r#""}"#),
        fill(r#"{"uin":1,"role":""#, r"\u0041", &format!(r#"","items":[{last}]}}"#)),
    ];

    for report in reports {
        fuzz::report::json(report.as_bytes());
    }
    fuzz::report::protobuf(&[0x32, 0].repeat(LONGEST / 2));
}

#[test]
fn what_was_found_once_stays_mended() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&corpus)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    ensure!(names == TARGETS.map(|(name, _)| name), "the corpus has {names:?}");
    for (name, feed) in TARGETS {
        let mut fed = 0;
        for entry in std::fs::read_dir(corpus.join(name))? {
            let path = entry?.path();
            let input = std::fs::read(&path).with_context(|| path.display().to_string())?;
            // The name shows where it panics.
            eprintln!("{}", path.display());
            feed(&input);
            fed += 1;
        }
        ensure!(fed > 0, "nothing was kept for {name}");
    }
    Ok(())
}
