//! Texts that others wrote, made fit to be shown: short, on one line, without what a terminal would obey.
//!
//! A worker's answers, the words of Kafka and of the API server end in statuses, events and logs.

/// Longest word, in letters.
const LONGEST_WORD: usize = 64;
/// Longest line, in letters.
const LONGEST_LINE: usize = 1_024;
/// Longest message of a condition, in letters. Kubernetes takes eight times as many; nobody reads them.
const LONGEST_MESSAGE: usize = 4_096;

/// One word for machines, as Kubernetes takes it for a reason; `other` where the text is none.
pub(crate) fn word(text: &str, other: &str) -> String {
    let is_word = text.len() <= LONGEST_WORD
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { text.to_owned() } else { other.to_owned() }
}

/// One line.
pub(crate) fn line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    shortened(text, LONGEST_LINE).chars().map(plain).collect()
}

/// A condition's message, which may have several lines.
pub(crate) fn message(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() && letter != '\n' { ' ' } else { letter };
    shortened(text, LONGEST_MESSAGE).chars().map(plain).collect()
}

fn shortened(text: &str, longest: usize) -> &str {
    text.char_indices().nth(longest).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        let words = ["StoreUnavailable", "", "two words", "1st", "a\nb", &"x".repeat(65)]
            .map(|text| word(text, "Other"));
        let long = "ä".repeat(5_000);

        assert_eq!(words, ["StoreUnavailable", "Other", "Other", "Other", "Other", "Other"]);
        assert_eq!(
            [line("a\u{1b}[31m\nb\0"), message("a\u{1b}[31m\nb")],
            ["a [31m b ".to_owned(), "a [31m\nb".to_owned()]
        );
        assert_eq!([line(&long), message(&long)].map(|text| text.chars().count()), [1_024, 4_096]);
    }
}
