//! `cargo xtask explore`: a program under many seeds, and each way in which it fails as small as it gets.
//!
//! | module | subject |
//! |---|---|
//! | [`options`] | the command line |
//! | [`attempt`] | one run, and what is wrong with it |
//! | [`shrink`], [`renumber`] | delta debugging |
//! | [`report`] | what was found, for people and programs |

mod attempt;
mod options;
mod renumber;
mod report;
mod shrink;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cli::Arguments;
use crate::setup::{self, Need};
use crate::{paths, qemu};
use attempt::{Attempt, Failure, Lab};
use options::Options;
use report::Finding;
use shrink::shrink;

/// So many runs look for the fewest decisions of one failure.
const SHRINK_TRIES: usize = 400;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// `cargo xtask explore ...`: 1 when a run failed.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let options = Options::parse(arguments)?;
    if options.help {
        println!("{}", options::HELP);
        return Ok(0);
    }
    setup::ensure(&[Need::Run])?;
    let lab = Lab::new(&options, folder(&options)?)?;
    let attempts = run_seeds(&lab, &options)?;
    let mut findings = Vec::new();
    for (failure, attempts) in by_failure(&attempts) {
        let finding = look_into(&lab, &options, failure, &attempts)?;
        print!("{}", finding.text());
        findings.push(finding);
    }
    report::write(&lab, &attempts, &findings)?;
    lab.close();
    let failed = attempts.iter().filter(|attempt| attempt.failure.is_some()).count();
    println!(
        "{} runs, {failed} failed, in {} ways: {}",
        attempts.len(),
        findings.len(),
        lab.folder.display()
    );
    attempts.into_iter().for_each(Attempt::forget);
    Ok(u8::from(failed > 0))
}

/// Where the results go.
fn folder(options: &Options) -> Result<PathBuf> {
    if let Some(out) = &options.out {
        return Ok(out.clone());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(paths::kairos().join("explore").join(format!("{:013}-{}", now.as_millis(), std::process::id())))
}

/// Runs the program once for each seed, several at a time; the runs in the order of their seeds.
fn run_seeds(lab: &Lab, options: &Options) -> Result<Vec<Attempt>> {
    let seeds = options.seeds();
    let stop = AtomicBool::new(false);
    let mut progress = Progress::new(seeds.len());
    let run = |seed: &u64| lab.attempt(&format!("seed-{seed}"), *seed, None);
    let mut attempts = Vec::new();
    side_by_side(&seeds, options.jobs, &stop, run, |_, attempt| {
        let attempt = attempt?;
        progress.count(attempt.failure.is_some());
        if options.stops_at_first && attempt.failure.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
        attempts.push(attempt);
        Ok(())
    })?;
    attempts.sort_by_key(|attempt| attempt.seed);
    Ok(attempts)
}

/// Calls `work` for each of `items`, `jobs` at a time, until all are done or `stop` says so, and gives each result
/// with its place to `see`, whose error ends it.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> R + Sync,
    mut see: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (results, inbox) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            let (results, next, work) = (results.clone(), &next, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if results.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        let ended = inbox.iter().try_for_each(|(index, result)| see(index, result));
        stop.store(ended.is_err() || stop.load(Ordering::Relaxed), Ordering::Relaxed);
        ended
    })
}

/// The runs that failed, by what is wrong with them.
fn by_failure(attempts: &[Attempt]) -> BTreeMap<Failure, Vec<&Attempt>> {
    let mut groups: BTreeMap<Failure, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        if let Some(failure) = &attempt.failure {
            groups.entry(failure.clone()).or_default().push(attempt);
        }
    }
    groups
}

/// Finds out how little it takes, and keeps what belongs to the failure.
fn look_into(lab: &Lab, options: &Options, failure: Failure, attempts: &[&Attempt]) -> Result<Finding> {
    let seeds: Vec<u64> = attempts.iter().map(|attempt| attempt.seed).collect();
    let first = attempts.first().context("a failure without a run")?;
    let folder = lab.folder.join(failure.folder_name());
    std::fs::create_dir_all(&folder)?;
    let kept = folder.join(format!("seed-{}", first.seed));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::rename(&first.folder, &kept).context("keeping the run that failed")?;
    let decisions = Attempt { folder: kept, failure: None, ..**first }.decisions()?;
    let mut finding = Finding {
        seeds,
        decided: decisions.len(),
        enough: None,
        is_minimal: false,
        replay: qemu::shell_line(&lab.run_options(first.seed, None).replay_of(&lab.identity)),
        failure,
    };
    if options.shrinks {
        smallest(lab, options, first.seed, decisions, &mut finding)?;
    }
    Ok(finding)
}

/// Looks for the fewest decisions that still fail alike, and keeps their list and their run.
fn smallest(
    lab: &Lab,
    options: &Options,
    seed: u64,
    decisions: Vec<String>,
    finding: &mut Finding,
) -> Result<()> {
    let folder = PathBuf::from(finding.failure.folder_name());
    let fails = |name: &str, list: &[String]| -> Result<bool> {
        let attempt = lab.attempt(name, seed, Some(list))?;
        let same = attempt.failure.as_ref() == Some(&finding.failure);
        attempt.forget();
        Ok(same)
    };
    if !fails("whole", &decisions)? {
        return Ok(());
    }
    let mut broken = None;
    let mut fail = |lists: &[Vec<String>]| {
        first_that_holds(lists, options.jobs, |name, list| fails(name, list)).unwrap_or_else(|error| {
            broken = Some(error);
            vec![false; lists.len()]
        })
    };
    let mut shrunk = shrink(decisions, SHRINK_TRIES, &mut fail);
    let mut tries = shrunk.tries;
    while shrunk.is_minimal && tries < SHRINK_TRIES {
        let mut candidates = renumber::candidates(&shrunk.list);
        tries += candidates.len();
        let Some(place) = fail(&candidates).into_iter().position(|fails| fails) else { break };
        shrunk = shrink(candidates.swap_remove(place), SHRINK_TRIES - tries.min(SHRINK_TRIES), &mut fail);
        tries += shrunk.tries;
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let name = folder.join("smallest");
    let attempt = lab.attempt(&name.to_string_lossy(), seed, Some(&shrunk.list))?;
    finding.enough = Some(shrunk.list.len());
    finding.is_minimal = shrunk.is_minimal;
    let list = attempt.folder.join("script");
    finding.replay = qemu::shell_line(&lab.run_options(seed, Some(list)).replay_of(&lab.identity));
    Ok(())
}

/// Tries `lists` in order, `jobs` at a time, up to the first for which `holds` says so; those behind it count as
/// not tried.
fn first_that_holds(
    lists: &[Vec<String>],
    jobs: usize,
    holds: impl Fn(&str, &[String]) -> Result<bool> + Sync,
) -> Result<Vec<bool>> {
    let mut found = vec![false; lists.len()];
    let places: Vec<usize> = (0..lists.len()).collect();
    for places in places.chunks(jobs) {
        let work = |place: &usize| (*place, holds(&format!("try-{place}"), &lists[*place]));
        side_by_side(places, jobs, &AtomicBool::new(false), work, |_, (place, result)| {
            found[place] = result?;
            Ok(())
        })?;
        if found.contains(&true) {
            break;
        }
    }
    Ok(found)
}

/// How far the seeds are, on stderr.
struct Progress {
    seeds: usize,
    done: usize,
    failed: usize,
    told: Instant,
}

impl Progress {
    fn new(seeds: usize) -> Self {
        Self { seeds, done: 0, failed: 0, told: Instant::now() }
    }

    fn count(&mut self, failed: bool) {
        self.done += 1;
        self.failed += usize::from(failed);
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            eprintln!("explore: {} of {} seeds, {} failed", self.done, self.seeds, self.failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_and_stops_at_an_error() {
        let items: Vec<usize> = (0..50).collect();
        let mut seen = Vec::new();
        side_by_side(
            &items,
            4,
            &AtomicBool::new(false),
            |item| item * 2,
            |index, double| {
                assert_eq!(double, items[index] * 2);
                seen.push(index);
                Ok(())
            },
        )
        .unwrap();
        seen.sort_unstable();
        assert_eq!(seen, items);
        let failing =
            side_by_side(&items, 4, &AtomicBool::new(false), |item| *item, |_, _| anyhow::bail!("no"));
        assert!(failing.is_err());
    }

    #[test]
    fn lists_are_tried_up_to_the_first_that_holds() {
        let lists: Vec<Vec<String>> = (0..10).map(|place| vec![place.to_string()]).collect();
        let found = first_that_holds(&lists, 2, |_, list| Ok(list[0] == "5" || list[0] == "9")).unwrap();
        assert_eq!(found.iter().position(|holds| *holds), Some(5));
        assert!(!found[9], "it comes after the first");
    }
}
