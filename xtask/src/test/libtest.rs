//! Reading lines of the form `test NAME ... VERDICT`, which Rust's own test programs and the guest
//! suite both print.

use super::tally::Verdict;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A case ended.
    Case(&'a str, Verdict),
    /// A case was named but its verdict is missing: the program ended in the middle of it.
    Open(&'a str),
    Other,
}

/// Reads one line.
pub(super) fn read(line: &str) -> Line<'_> {
    let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else {
        return line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ..."))
            .map_or(Line::Other, Line::Open);
    };
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let reason = |text: &str| text.trim_matches(|c: char| " (),".contains(c)).to_owned();
    if verdict.is_empty() {
        Line::Open(name)
    } else if verdict == "ok" {
        Line::Case(name, Verdict::Passed)
    } else if let Some(text) = verdict.strip_prefix("ignored") {
        Line::Case(name, Verdict::Skipped(reason(text)))
    } else if let Some(text) = verdict.strip_prefix("skipped") {
        Line::Case(name, Verdict::Skipped(reason(text)))
    } else if let Some(text) = verdict.strip_prefix("FAILED") {
        Line::Case(name, Verdict::Failed(reason(text)))
    } else {
        // Something else was printed behind the name: no verdict was reached.
        Line::Open(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_of_both_kinds_of_programs_are_read() {
        assert_eq!(read("test a::b ... ok"), Line::Case("a::b", Verdict::Passed));
        assert_eq!(read("test a - should panic ... ok"), Line::Case("a", Verdict::Passed));
        assert_eq!(read("test a ... ignored, slow"), Line::Case("a", Verdict::Skipped("slow".into())));
        assert_eq!(read("test a ... skipped (no root)"), Line::Case("a", Verdict::Skipped("no root".into())));
        assert_eq!(read("test a ... FAILED (hang)"), Line::Case("a", Verdict::Failed("hang".into())));
        assert_eq!(read("test a ... "), Line::Open("a"));
        assert_eq!(read("test a ..."), Line::Open("a"));
        assert_eq!(read("test a ... kernel panic"), Line::Open("a"));
        assert_eq!(read("test result: ok. 3 passed"), Line::Other);
        assert_eq!(read("running 3 tests"), Line::Other);
    }
}
