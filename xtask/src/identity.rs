//! What a run is made of, by digest: a failure is replayed with the same kernel, root and QEMU or not at all.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::usage;
use crate::qemu;

/// So many hexadecimal digits name an image on a command line.
const SHORT: usize = 12;

/// Kernel, root and QEMU of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// SHA-256 of the kernel's ELF.
    pub(crate) kernel: String,
    /// SHA-256 of the initramfs with its overlays and the job, without a list of decisions.
    pub(crate) root: String,
    /// QEMU's version.
    pub(crate) qemu: String,
}

impl Identity {
    /// What a run with these files is made of.
    pub(crate) fn of(kernel: &Path, root: &Path) -> Result<Identity> {
        let version = qemu::version()?;
        let number = version.split_whitespace().skip_while(|word| *word != "version").nth(1);
        Ok(Identity {
            kernel: digest(kernel)?,
            root: digest(root)?,
            qemu: number.unwrap_or("unknown").to_owned(),
        })
    }

    /// As an option's value: enough to tell images apart.
    pub(crate) fn short(&self) -> String {
        let start = |digest: &str| digest.get(..SHORT).unwrap_or(digest).to_owned();
        format!("kernel={},root={},qemu={}", start(&self.kernel), start(&self.root), self.qemu)
    }
}

/// What a run is expected to be made of: the value of `--expect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected(Vec<(String, String)>);

impl Expected {
    /// Reads `kernel=DIGEST,root=DIGEST,qemu=VERSION`, in any order; what is not named may be anything.
    pub(crate) fn parse(text: &str) -> Result<Expected> {
        let part = |word: &str| match word.split_once('=') {
            Some((name @ ("kernel" | "root" | "qemu"), value)) if !value.is_empty() => {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => Err(usage(format!("--expect: {word:?} is no kernel=..., root=... or qemu=..."))),
        };
        Ok(Expected(text.split(',').map(part).collect::<Result<_>>()?))
    }

    /// As it is written on a command line.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    }

    /// Fails unless `found` is what was expected.
    pub(crate) fn check(&self, found: &Identity) -> Result<()> {
        for (name, value) in &self.0 {
            let (what, is) = match name.as_str() {
                "kernel" => ("kernel", &found.kernel),
                "root" => ("root", &found.root),
                _ => ("QEMU", &found.qemu),
            };
            if !is.starts_with(value) {
                bail!(
                    "the {what} is another one than in the run that is to be repeated ({value} then, {is} now); \
                     --force runs it all the same"
                );
            }
        }
        Ok(())
    }
}

/// SHA-256 of a file, by coreutils.
fn digest(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("starting sha256sum")?;
    ensure!(output.status.success(), "sha256sum {}: {}", file.display(), output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    // A path with a backslash or newline makes sha256sum put a backslash before the line.
    let word = text.trim_start_matches('\\').split(' ').next();
    Ok(word.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { kernel: "ab".repeat(32), root: "cd".repeat(32), qemu: "7.2.22".into() }
    }

    #[test]
    fn what_is_printed_is_what_is_expected() {
        let expected = Expected::parse(&identity().short()).unwrap();
        assert!(expected.check(&identity()).is_ok());
        assert_eq!(Expected::parse(&expected.text()).unwrap(), expected);
        for other in [
            Identity { kernel: "00".repeat(32), ..identity() },
            Identity { root: "00".repeat(32), ..identity() },
            Identity { qemu: "8.0".into(), ..identity() },
        ] {
            assert!(expected.check(&other).is_err(), "{other:?}");
        }
        assert!(Expected::parse("qemu=7.2.22").unwrap().check(&identity()).is_ok());
        assert!(Expected::parse("kernel").is_err() && Expected::parse("initrd=1").is_err());
    }

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        let file = std::env::temp_dir().join(format!("kairos-digest-{}", std::process::id()));
        std::fs::write(&file, b"abc").unwrap();
        let digest = digest(&file);
        std::fs::remove_file(&file).unwrap();
        assert!(digest.unwrap().starts_with("ba7816bf8f01cfea"));
    }
}
