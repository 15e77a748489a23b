//! Layers: where the nodes of a call graph stand, in columns by call depth.
//!
//! An edge that closes a cycle is set aside. A node's column is the longest way to it; an edge
//! over several columns bends once in each between. Columns are ordered by the mean place of the
//! neighbours, to and fro, then each slot moves towards its neighbours as far as order allows.
//!
//! Source: Sugiyama, Tagawa, Toda (1981), without exact crossing minimisation.
//! Left out: ports, groups, straightening of long edges.

/// Where nodes, and edges on their way through columns, stand. Slots are numbered: nodes first,
/// then bends.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Layers {
    /// Each slot's column, from the callers to the called.
    pub(super) column: Vec<usize>,
    /// The middle of each slot in pixels, around 0.
    pub(super) y: Vec<f64>,
    /// How many columns there are.
    pub(super) depth: usize,
    /// Whether an edge goes back to an earlier column or to its own node.
    pub(super) back: Vec<bool>,
    /// The slots of an edge from its source to its target, a column each; none if it goes back.
    pub(super) ways: Vec<Vec<usize>>,
}

/// How often columns are put in order.
const SWEEPS: usize = 6;
/// How often slots move towards their neighbours.
const SETTLING: usize = 30;
/// Pixels between slots of a column.
const GAP: f64 = 26.0;

impl Layers {
    /// Lays out a graph; `height` is that of a slot.
    pub(super) fn new(
        nodes: usize,
        edges: &[(usize, usize)],
        height: impl Fn(usize) -> f64,
    ) -> Self {
        let mut layers = Self::layered(nodes, edges);
        let slots = layers.column.len();
        let (mut before, mut after) = (vec![Vec::new(); slots], vec![Vec::new(); slots]);
        for pair in layers.ways.iter().flat_map(|way| way.windows(2)) {
            after[pair[0]].push(pair[1]);
            before[pair[1]].push(pair[0]);
        }
        let beside: Vec<_> = before.iter().zip(&after).map(|(a, b)| [&a[..], b].concat()).collect();
        let mut columns = vec![Vec::new(); layers.depth];
        for (slot, &column) in layers.column.iter().enumerate() {
            columns[column].push(slot);
        }
        for column in &columns {
            layers.spread(column, &height);
        }
        for column in to_and_fro(layers.depth, SWEEPS) {
            let column = &mut columns[column];
            let mut wanted: Vec<_> =
                column.iter().map(|&slot| (layers.wanted(slot, &beside), slot)).collect();
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
            *column = wanted.into_iter().map(|(_, slot)| slot).collect();
            layers.spread(column, &height);
        }
        for column in to_and_fro(layers.depth, SETTLING) {
            layers.settle(&columns[column], &beside, &height);
        }
        // Last, chains become straight: each slot goes to its callers, then to those it calls.
        for column in &columns {
            layers.settle(column, &before, &height);
        }
        for column in columns.iter().rev() {
            layers.settle(column, &after, &height);
        }
        layers
    }

    /// Columns and ways, without places.
    fn layered(nodes: usize, edges: &[(usize, usize)]) -> Self {
        let (back, order) = depth_first(nodes, edges);
        let mut calls: Vec<Vec<usize>> = vec![Vec::new(); nodes];
        for (&(from, to), _) in edges.iter().zip(&back).filter(|(_, back)| !**back) {
            calls[from].push(to);
        }
        let mut column = vec![0; nodes];
        for from in order {
            for &to in &calls[from] {
                column[to] = column[to].max(column[from] + 1);
            }
        }
        let depth = column.iter().max().map_or(0, |deepest| deepest + 1);
        let mut ways = Vec::with_capacity(edges.len());
        for (&(from, to), &back) in edges.iter().zip(&back) {
            let mut way = Vec::new();
            if !back {
                way.push(from);
                for between in column[from] + 1..column[to] {
                    way.push(column.len());
                    column.push(between);
                }
                way.push(to);
            }
            ways.push(way);
        }
        let y = vec![0.0; column.len()];
        Self { column, y, depth, back, ways }
    }

    /// The mean place of a slot's neighbours, or its own if it has none.
    fn wanted(&self, slot: usize, beside: &[Vec<usize>]) -> f64 {
        let beside = &beside[slot];
        if beside.is_empty() {
            return self.y[slot];
        }
        beside.iter().map(|&other| self.y[other]).sum::<f64>() / beside.len() as f64
    }

    /// Puts the slots of a column under each other, around 0.
    fn spread(&mut self, column: &[usize], height: &impl Fn(usize) -> f64) {
        let all: f64 = column.iter().map(|&slot| height(slot) + GAP).sum();
        let mut top = -all / 2.0;
        for &slot in column {
            self.y[slot] = top + f64::midpoint(height(slot), GAP);
            top += height(slot) + GAP;
        }
    }

    /// Moves the slots of a column as near to their neighbours as order and heights allow: the
    /// mean of the solution that is filled from above and of the one from below, both of which
    /// keep the distances.
    fn settle(&mut self, column: &[usize], beside: &[Vec<usize>], height: &impl Fn(usize) -> f64) {
        let apart = |n: usize| f64::midpoint(height(column[n - 1]), height(column[n])) + GAP;
        let mut down: Vec<f64> = column.iter().map(|&slot| self.wanted(slot, beside)).collect();
        let mut up = down.clone();
        for n in 1..column.len() {
            down[n] = down[n].max(down[n - 1] + apart(n));
        }
        for n in (1..column.len()).rev() {
            up[n - 1] = up[n - 1].min(up[n] - apart(n));
        }
        for (n, &slot) in column.iter().enumerate() {
            self.y[slot] = f64::midpoint(down[n], up[n]);
        }
    }
}

/// All columns in order, then in reverse, and so on.
fn to_and_fro(columns: usize, sweeps: usize) -> impl Iterator<Item = usize> {
    (0..sweeps).flat_map(move |sweep| {
        (0..columns).map(move |n| if sweep % 2 == 0 { n } else { columns - 1 - n })
    })
}

/// Which edges close a cycle, and the nodes so that each comes before those it calls.
fn depth_first(nodes: usize, edges: &[(usize, usize)]) -> (Vec<bool>, Vec<usize>) {
    let mut calls: Vec<Vec<(usize, usize)>> = vec![Vec::new(); nodes];
    let mut called = vec![false; nodes];
    for (edge, &(from, to)) in edges.iter().enumerate() {
        calls[from].push((edge, to));
        called[to] |= from != to;
    }
    let (mut back, mut done) = (vec![false; edges.len()], vec![false; nodes]);
    let (mut open, mut order) = (vec![false; nodes], Vec::with_capacity(nodes));
    let roots = (0..nodes).filter(|node| !called[*node]).chain(0..nodes);
    for root in roots.collect::<Vec<_>>() {
        let mut path = if done[root] { Vec::new() } else { vec![(root, 0)] };
        while let Some((node, next)) = path.last_mut() {
            open[*node] = true;
            let Some(&(edge, to)) = calls[*node].get(*next) else {
                (open[*node], done[*node]) = (false, true);
                order.push(*node);
                path.pop();
                continue;
            };
            *next += 1;
            if open[to] {
                back[edge] = true;
            } else if !done[to] {
                path.push((to, 0));
            }
        }
    }
    order.reverse();
    (back, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_the_longest_way_and_cycles_are_set_aside() {
        let edges = [(0, 1), (1, 2), (0, 2), (2, 0), (2, 2), (2, 3)];
        let layers = Layers::new(5, &edges, |_| 40.0);
        assert_eq!(layers.column, [0, 1, 2, 3, 0, 1]);
        assert_eq!(layers.back, [false, false, false, true, true, false]);
        assert_eq!(layers.ways[2], [0, 5, 2]);
    }

    #[test]
    fn slots_of_a_column_never_overlap() {
        let more = (5..40).map(|n| (n / 7, n));
        let edges: Vec<_> = (1..60_usize).map(|n| (n / 3, n)).chain(more).collect();
        let layers = Layers::new(60, &edges, |_| 40.0);
        for a in 0..layers.y.len() {
            for b in 0..a {
                let distance = (layers.y[a] - layers.y[b]).abs();
                assert!(layers.column[a] != layers.column[b] || 40.0 + GAP <= distance + 1e-6);
            }
        }
    }

    #[test]
    fn a_chain_is_straight() {
        let layers = Layers::new(4, &[(0, 1), (1, 2), (2, 3)], |slot| 20.0 + slot as f64 * 9.0);
        assert!(layers.y.iter().all(|y| (y - layers.y[0]).abs() < 0.5), "{:?}", layers.y);
    }

    #[test]
    fn a_cycle_without_a_root_has_a_layout() {
        let layers = Layers::new(2, &[(0, 1), (1, 0)], |_| 40.0);
        assert_eq!((layers.depth, layers.back), (2, vec![false, true]));
        assert_eq!(Layers::new(0, &[], |_| 1.0).depth, 0);
    }
}
