//! Calls that go round: those that would never end are broken.
//!
//! A cycle is fine as long as a request is expected to go round it finitely often; else the likeliest call
//! that closes one is taken out, until all end.
//! Source: a branching process ends if the matrix of expected calls has a spectral radius below 1; the
//! limit of visits is that of scenarios.
//! Left out: which of the calls of a cycle a person would take out.

use std::collections::{BTreeMap, BTreeSet};

/// Visits of one cycle that a request may be expected to make.
const VISITS_MAX: f64 = 10_000.0;
/// Rounds after which a sum that does not end is taken for endless.
const ROUNDS_MAX: usize = 20_000;

/// Expected calls of a request, by caller and callee.
pub type Edges = BTreeMap<(usize, usize), f64>;

/// The calls to take out, so that the others end, in the order in which they were found.
pub fn endless(mut edges: Edges) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    loop {
        let parts = parts(&edges);
        let bad: BTreeSet<usize> =
            groups(&parts).into_values().filter(|group| !ends(&edges, group)).flatten().collect();
        let Some(edge) = closing(&edges, &parts, &bad) else { return out };
        edges.remove(&edge);
        out.push(edge);
    }
}

fn groups(parts: &BTreeMap<usize, usize>) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut groups: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (node, part) in parts {
        groups.entry(*part).or_default().insert(*node);
    }
    groups
}

/// Whether requests within a group are expected to end.
fn ends(edges: &Edges, group: &BTreeSet<usize>) -> bool {
    let is_inside = |(from, to): &(usize, usize)| group.contains(from) && group.contains(to);
    let inside: Vec<_> = edges.iter().filter(|(edge, _)| is_inside(edge)).collect();
    if inside.is_empty() {
        return true;
    }
    let mut now: BTreeMap<usize, f64> = group.iter().map(|node| (*node, 1.0)).collect();
    let mut visits = group.len() as f64;
    for _ in 0..ROUNDS_MAX {
        let mut next: BTreeMap<usize, f64> = BTreeMap::new();
        for ((from, to), expected) in &inside {
            *next.entry(*to).or_default() += now.get(from).copied().unwrap_or(0.0) * **expected;
        }
        let sum: f64 = next.values().sum();
        visits += sum;
        // Half of the limit: how the scenario counts may differ by the order of sums.
        if VISITS_MAX / 2.0 < visits {
            return false;
        }
        if sum < 1e-6 {
            return true;
        }
        now = next;
    }
    false
}

/// The strongly connected part of each node, by its least node reached first (Kosaraju).
fn parts(edges: &Edges) -> BTreeMap<usize, usize> {
    let back: BTreeSet<(usize, usize)> = edges.keys().map(|(from, to)| (*to, *from)).collect();
    let nodes: BTreeSet<usize> = edges.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for node in &nodes {
        walk(
            *node,
            |node| edges.range((node, 0)..=(node, usize::MAX)).map(|(edge, _)| edge.1).collect(),
            &mut seen,
            &mut order,
        );
    }
    let mut parts = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for root in order.into_iter().rev() {
        let mut part = Vec::new();
        walk(
            root,
            |node| back.range((node, 0)..=(node, usize::MAX)).map(|edge| edge.1).collect(),
            &mut seen,
            &mut part,
        );
        parts.extend(part.into_iter().map(|node| (node, root)));
    }
    parts
}

/// Nodes that are reached, each after those below it.
fn walk(
    from: usize,
    next: impl Fn(usize) -> Vec<usize>,
    seen: &mut BTreeSet<usize>,
    order: &mut Vec<usize>,
) {
    if !seen.insert(from) {
        return;
    }
    let mut stack = vec![(from, next(from))];
    while let Some((node, below)) = stack.last_mut() {
        match below.pop() {
            Some(other) if seen.insert(other) => stack.push((other, next(other))),
            Some(_) => {}
            None => {
                order.push(*node);
                stack.pop();
            }
        }
    }
}

/// The likeliest call that closes a cycle within the bad nodes, as those see it who come from outside.
fn closing(
    edges: &Edges,
    parts: &BTreeMap<usize, usize>,
    bad: &BTreeSet<usize>,
) -> Option<(usize, usize)> {
    let inside = |(from, to): &(usize, usize)| {
        bad.contains(from) && bad.contains(to) && parts.get(from) == parts.get(to)
    };
    let called: BTreeSet<usize> =
        edges.keys().filter(|edge| !inside(edge)).map(|edge| edge.1).collect();
    let (first, others): (Vec<usize>, Vec<usize>) =
        bad.iter().partition(|node| called.contains(node));
    let below = |node: usize| -> Vec<(usize, f64)> {
        let all = edges.range((node, 0)..=(node, usize::MAX)).rev();
        all.filter(|(edge, _)| inside(edge)).map(|(edge, expected)| (edge.1, *expected)).collect()
    };
    let mut best: Option<(f64, (usize, usize))> = None;
    let mut seen = BTreeSet::new();
    for root in first.into_iter().chain(others) {
        if !seen.insert(root) {
            continue;
        }
        // Nodes on the way with how likely it is to come to them from the one before.
        let mut stack = vec![(root, 1.0, below(root))];
        while let Some((node, _, rest)) = stack.last_mut() {
            let node = *node;
            let Some((to, expected)) = rest.pop() else {
                stack.pop();
                continue;
            };
            if let Some(at) = stack.iter().position(|(other, ..)| *other == to) {
                let round: f64 = stack[at + 1..].iter().map(|(_, expected, _)| expected).product();
                let round = round * expected;
                if best.is_none_or(|(known, _)| known < round) {
                    best = Some((round, (node, to)));
                }
            } else if seen.insert(to) {
                stack.push((to, expected, below(to)));
            }
        }
    }
    best.map(|(_, edge)| edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_never_end_is_taken_out() {
        let out = |list: &[((usize, usize), f64)]| endless(list.iter().copied().collect());
        assert_eq!(out(&[((0, 1), 1.0), ((1, 2), 3.0)]), []);
        assert_eq!(out(&[((0, 1), 1.0), ((1, 0), 0.5)]), [], "half of them go round again");
        assert_eq!(out(&[((0, 1), 1.0), ((1, 0), 1.0)]), [(1, 0)]);
        assert_eq!(out(&[((0, 0), 1.0)]), [(0, 0)]);
        // From outside it comes to 2 first: there the cycle is closed.
        assert_eq!(out(&[((0, 2), 1.0), ((1, 2), 1.0), ((2, 1), 1.0)]), [(1, 2)]);
        // Two cycles of 0.6 each are too much together.
        let both = [((0, 1), 1.0), ((1, 0), 0.6), ((0, 2), 1.0), ((2, 0), 0.6)];
        assert_eq!(out(&both).len(), 1);
    }
}
