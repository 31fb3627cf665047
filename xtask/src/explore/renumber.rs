//! Leaving out the early end of a slice without moving what comes after it.
//!
//! A decision names a slice of a task by its number. A slice that is not cut short goes on, and does what the next one did:
//! so the slices behind it have numbers one lower, and a cut of the next one comes later in this one. Without that, delta
//! debugging keeps decisions that are needed for nothing but the count.

use base::decision::Decision;

/// The lists in which one early end of a slice of `list` is left out and the later slices of its task are renumbered.
pub(super) fn candidates(list: &[String]) -> Vec<Vec<String>> {
    let decisions: Option<Vec<Decision>> = list.iter().map(|line| line.parse().ok()).collect();
    let decisions = decisions.unwrap_or_default();
    let without = |place: usize| match decisions.get(place) {
        Some(Decision::Preempt { key, nth, after }) => Some(without(&decisions, place, (*key, *nth, *after))),
        _ => None,
    };
    (0..decisions.len()).filter_map(without).collect()
}

/// The list without the decision at `place`, which ends slice `nth` of the task `key` after so many nanoseconds.
fn without(decisions: &[Decision], place: usize, (key, nth, after): (u64, u64, u64)) -> Vec<String> {
    let mut rest = decisions.to_vec();
    rest.remove(place);
    for decision in &mut rest {
        match decision {
            Decision::Preempt { key: its, nth: number, after: length } if *its == key && *number > nth => {
                if *number == nth + 1 {
                    *length += after;
                }
                *number -= 1;
            }
            Decision::Behind { key: its, nth: number, .. } if *its == key && *number > nth => *number -= 1,
            _ => {}
        }
    }
    rest.iter().map(Decision::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_cut_moves_up() {
        let list = [
            "preempt 00000000000000aa 3 100",
            "preempt 00000000000000aa 4 20",
            "behind 00000000000000aa 9 1",
            "preempt 00000000000000bb 9 7",
            "fault 00000000000000aa 5 kmalloc",
        ];
        let found = candidates(&list.map(str::to_owned));
        assert_eq!(found.len(), 3, "one for each cut");
        assert_eq!(
            found[0],
            [
                "preempt 00000000000000aa 3 120",
                "behind 00000000000000aa 8 1",
                "preempt 00000000000000bb 9 7",
                "fault 00000000000000aa 5 kmalloc",
            ]
        );
        assert_eq!(found[1][..2], ["preempt 00000000000000aa 3 100", "behind 00000000000000aa 8 1"]);
    }
}
