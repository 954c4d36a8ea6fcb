//! The name of a pipeline's children: what every kind of child and every label value accepts.

use sha2::{Digest as _, Sha256};

/// A Deployment adds up to 17 characters for its pods, whose host names end at 63.
const LONGEST: usize = 46;
const SUFFIX: &str = "-worker";
const HASH_DIGITS: usize = 8;

/// `<pipeline>-worker` where that is a DNS label of at most 46 characters that begins with a letter; else as much of it as fits, with
/// a part of the name's SHA-256.
#[must_use]
pub fn child_name(pipeline: &str) -> String {
    let is_label = pipeline.starts_with(|first: char| first.is_ascii_lowercase()) && !pipeline.contains('.');
    if is_label && pipeline.len() + SUFFIX.len() <= LONGEST {
        return format!("{pipeline}{SUFFIX}");
    }
    let hash = Sha256::digest(pipeline);
    let hash: String = hash.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST - SUFFIX.len() - HASH_DIGITS - "p--".len();
    let part: String = pipeline.chars().map(|c| if c == '.' { '-' } else { c }).take(room).collect();
    format!("p-{}-{hash}{SUFFIX}", part.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_where_it_fits_and_told_apart_where_it_does_not() {
        let long = "n".repeat(253);
        let names = ["achievements", "eu.west", "eu-west", "7seas", &long].map(child_name);

        assert_eq!(
            names,
            [
                "achievements-worker",
                "p-eu-west-6e292c9d-worker",
                "eu-west-worker",
                "p-7seas-5aaa065a-worker",
                "p-nnnnnnnnnnnnnnnnnnnnnnnnnnnn-1f2036e5-worker"
            ]
        );
        assert!(names.iter().all(|name| name.len() <= LONGEST));
    }
}
