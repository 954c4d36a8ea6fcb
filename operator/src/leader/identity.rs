//! The name of one candidacy.

/// `<pod>_<suffix>`: the pod, for people; the suffix, so that a restarted pod does not take its predecessor's lease for its own.
#[must_use]
pub fn identity(pod: &str, suffix: u64) -> String {
    format!("{pod}_{suffix:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_names_the_pod_and_this_start_of_it() {
        assert_eq!(identity("plaudit-5d8f-x2x9p", 0xbeef), "plaudit-5d8f-x2x9p_000000000000beef");
    }
}
