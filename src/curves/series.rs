//! Curves side by side: those that differ in their seeds alone are one line, with what they spread over.

use std::collections::BTreeMap;

use super::Curve;

/// What a curve belongs to.
#[derive(Clone, Debug)]
pub struct Member {
    /// What tells its line from others, in words.
    pub group: Vec<String>,
    /// What tells it from the others of its line.
    pub seeds: Vec<String>,
    /// Where it came from.
    pub path: String,
    /// Training samples of a step.
    pub step_samples: u64,
    /// The step of its best evaluation.
    pub best: Option<u64>,
    /// Its metrics.
    pub curve: Curve,
}

impl Member {
    /// One without a curve yet, of a run that stands beside no other.
    pub fn alone(step_samples: u64) -> Self {
        let (group, seeds, path, curve) = (Vec::new(), Vec::new(), String::new(), Curve::default());
        Self { group, seeds, path, step_samples, best: None, curve }
    }
}

/// A line: a curve, or several that differ in their seeds.
#[derive(Debug)]
pub struct Line {
    /// What it is called.
    pub label: String,
    /// At least one.
    pub members: Vec<Member>,
}

/// The lines of some curves, in the order in which their first ones stand. Curves of a group whose seeds do not tell them apart are lines
/// of their own, called by their paths: what they differ in is not known here.
pub fn grouped(members: Vec<Member>) -> Vec<Line> {
    let mut order: Vec<Vec<String>> = Vec::new();
    let mut groups: BTreeMap<Vec<String>, Vec<Member>> = BTreeMap::new();
    for member in members {
        if !groups.contains_key(&member.group) {
            order.push(member.group.clone());
        }
        groups.entry(member.group.clone()).or_default().push(member);
    }
    let is_alone = groups.len() == 1;
    let mut lines = Vec::new();
    for group in order {
        let members = groups.remove(&group).unwrap_or_default();
        let words = group.join(", ");
        let mut seeds: Vec<&Vec<String>> = members.iter().map(|member| &member.seeds).collect();
        seeds.sort();
        seeds.dedup();
        if seeds.len() == members.len() {
            let label = if words.is_empty() && members.len() == 1 { members[0].path.clone() } else { words };
            lines.push(Line { label, members });
            continue;
        }
        for member in members {
            let label =
                if words.is_empty() || is_alone { member.path.clone() } else { format!("{words} ({})", member.path) };
            lines.push(Line { label, members: vec![member] });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(group: &str, seed: &str, path: &str) -> Member {
        Member {
            group: vec![group.into()],
            seeds: vec![seed.into()],
            path: path.into(),
            step_samples: 1,
            best: None,
            curve: Curve::default(),
        }
    }

    fn labels(members: Vec<Member>) -> Vec<(String, usize)> {
        grouped(members).into_iter().map(|line| (line.label, line.members.len())).collect()
    }

    #[test]
    fn seeds_are_one_line_and_what_is_equal_is_several() {
        let found = labels(vec![member("a", "0", "r1"), member("b", "0", "r2"), member("a", "1", "r3")]);
        assert_eq!(found, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let found = labels(vec![member("", "0", "r1"), member("", "0", "r2")]);
        assert_eq!(found, [("r1".to_owned(), 1), ("r2".to_owned(), 1)]);
        let found = labels(vec![member("a", "0", "r1"), member("a", "0", "r2"), member("b", "0", "r3")]);
        assert_eq!(found[1], ("a (r2)".to_owned(), 1));
    }
}
