//! Reading a command line: words, `--name value`, `--name=value`, and what follows `--`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use anyhow::{Error, Result};

/// A mistake in the command line; xtask exits with status 2 for these.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// An error that names a mistake in the command line.
pub(crate) fn usage(message: impl Into<String>) -> Error {
    Error::new(UsageError(message.into()))
}

/// The arguments that are still to be read.
pub(crate) struct Arguments {
    rest: std::vec::IntoIter<OsString>,
    /// The value of a `--name=value` whose name was handed out already.
    attached: Option<(String, OsString)>,
}

/// One item of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An option with its leading dashes.
    Option(String),
    /// A word that is no option.
    Word(OsString),
    /// `--`: everything behind it belongs to the program.
    Separator,
}

impl Arguments {
    pub(crate) fn new(arguments: impl Iterator<Item = OsString>) -> Self {
        let all: Vec<_> = arguments.collect();
        Self { rest: all.into_iter(), attached: None }
    }

    /// The next plain word, if the next item is one.
    pub(crate) fn next_word(&mut self) -> Option<String> {
        self.rest.next().map(|word| word.to_string_lossy().into_owned())
    }

    /// The next item. Fails if the option before it was given a value it does not take.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>> {
        if let Some((name, _)) = &self.attached {
            return Err(usage(format!("{name} takes no value")));
        }
        let Some(argument) = self.rest.next() else { return Ok(None) };
        if argument == "--" {
            return Ok(Some(Item::Separator));
        }
        let bytes = argument.as_bytes();
        if bytes.len() < 2 || bytes[0] != b'-' {
            return Ok(Some(Item::Word(argument)));
        }
        match bytes.iter().position(|&byte| byte == b'=') {
            Some(equals) => {
                let name = String::from_utf8_lossy(&bytes[..equals]).into_owned();
                let value = std::ffi::OsStr::from_bytes(&bytes[equals + 1..]).to_owned();
                self.attached = Some((name.clone(), value));
                Ok(Some(Item::Option(name)))
            }
            None => Ok(Some(Item::Option(String::from_utf8_lossy(bytes).into_owned()))),
        }
    }

    /// The value of the option `name`, which was the last item.
    pub(crate) fn value(&mut self, name: &str) -> Result<OsString> {
        let attached = self.attached.take().map(|(_, value)| value);
        attached.or_else(|| self.rest.next()).ok_or_else(|| usage(format!("{name} needs a value")))
    }

    /// The value of the option `name` as UTF-8 text.
    pub(crate) fn text(&mut self, name: &str) -> Result<String> {
        self.value(name)?.into_string().map_err(|value| usage(format!("{name}: {value:?} is not UTF-8")))
    }

    /// The value that stands behind the `=` of the option `name`, which may do without one.
    pub(crate) fn attached_text(&mut self, name: &str) -> Result<Option<String>> {
        let attached = self.attached.take().map(|(_, value)| value);
        let text = attached.map(|value| value.into_string()).transpose();
        text.map_err(|value| usage(format!("{name}: {value:?} is not UTF-8")))
    }

    /// The value of the option `name`, parsed.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| usage(format!("{name}: {text:?} is not a valid value")))
    }

    /// Everything that was not read yet.
    pub(crate) fn remaining(&mut self) -> Vec<OsString> {
        self.rest.by_ref().collect()
    }

    /// Fails if anything is left.
    pub(crate) fn finish(&mut self) -> Result<()> {
        match self.next_item()? {
            None => Ok(()),
            Some(item) => Err(unexpected(&item)),
        }
    }
}

/// The error for an item that the command does not know.
pub(crate) fn unexpected(item: &Item) -> Error {
    match item {
        Item::Option(name) => usage(format!("unknown option {name}")),
        Item::Word(word) => usage(format!("unexpected argument {word:?}")),
        Item::Separator => usage("unexpected --"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::new(words.iter().map(OsString::from).collect::<Vec<_>>().into_iter())
    }

    #[test]
    fn both_spellings_of_a_value_are_read() {
        let mut args = arguments(&["--smp=3", "--mem", "64M", "--", "--smp"]);
        assert_eq!(args.next_item().unwrap(), Some(Item::Option("--smp".into())));
        assert_eq!(args.parsed::<u32>("--smp").unwrap(), 3);
        assert_eq!(args.next_item().unwrap(), Some(Item::Option("--mem".into())));
        assert_eq!(args.text("--mem").unwrap(), "64M");
        assert_eq!(args.next_item().unwrap(), Some(Item::Separator));
        assert_eq!(args.remaining(), ["--smp"]);
    }

    #[test]
    fn a_value_for_an_option_without_one_is_an_error() {
        let mut args = arguments(&["--quiet=yes", "word"]);
        assert_eq!(args.next_item().unwrap(), Some(Item::Option("--quiet".into())));
        assert!(args.next_item().is_err());
    }

    #[test]
    fn a_missing_or_wrong_value_is_an_error() {
        let mut args = arguments(&["--smp"]);
        args.next_item().unwrap();
        assert!(args.parsed::<u32>("--smp").unwrap_err().is::<UsageError>());
        let mut args = arguments(&["--smp", "many"]);
        args.next_item().unwrap();
        assert!(args.parsed::<u32>("--smp").is_err());
    }
}
