//! The kernel command line: words, some of them `key=value`.

/// A parsed view of the command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a>(&'a str);

impl<'a> CommandLine<'a> {
    /// A view of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        CommandLine(text)
    }

    /// The words, in order. A part in double quotes may hold blanks; the quotes stay.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        let mut quoted = false;
        self.0
            .split(move |letter: char| {
                quoted ^= letter == '"';
                letter.is_ascii_whitespace() && !quoted
            })
            .filter(|word| !word.is_empty())
    }

    /// True when `word` stands alone among the words.
    #[must_use]
    pub fn has(self, word: &str) -> bool {
        self.words().any(|found| found == word)
    }

    /// The value of the last `key=value`, without quotes around it.
    #[must_use]
    pub fn value(self, key: &str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// The values of every `key=value`, in order, without quotes around them.
    pub fn values(self, key: &str) -> impl Iterator<Item = &'a str> {
        let pairs = self.words().filter_map(|word| word.split_once('='));
        pairs.filter(move |(found, _)| *found == key).map(|(_, value)| value.trim_matches('"'))
    }

    /// The whole text.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.0
    }
}
