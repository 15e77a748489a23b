//! Filters of states: the plan has all of them, in an order in which each state's is kept, and masks say which count.
//!
//! Source: ours.
//! Left out: filters that are none of requests (overload, limits of connections): `rest` tells of them.

use crate::plan::filter::{Filter, FilterMask};

/// Whether a filter may come and go.
pub(super) fn may_change(filter: &Filter) -> bool {
    !matches!(filter, Filter::Overload(_) | Filter::ConnectionLimit(_))
}

/// Adds to a list what another one has and it has not, so that both orders are kept.
pub(super) fn add(all: &mut Vec<Filter>, list: &[Filter]) {
    let mut place = 0;
    for filter in list.iter().filter(|one| may_change(one)) {
        if let Some(found) = all[place..].iter().position(|one| one == filter) {
            place += found + 1;
        } else {
            all.insert(place, filter.clone());
            place += 1;
        }
    }
}

/// Which of all filters a state has.
pub(super) fn mask(all: &[Filter], list: &[Filter]) -> u64 {
    let mut mask = 0;
    let mut rest = list.iter().filter(|one| may_change(one)).peekable();
    for (place, filter) in all.iter().enumerate().take(FilterMask::FILTERS_MAX) {
        let is_next = rest.peek().is_some_and(|next| *next == filter);
        if is_next {
            rest.next();
        }
        if is_next || !may_change(filter) {
            mask |= 1 << place;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::filter::Buffer;

    #[test]
    fn a_union_keeps_the_order_of_each_list() {
        let list = |sizes: &[u32]| -> Vec<Filter> {
            let one = |size: &u32| Filter::Buffer(Buffer { max_request_bytes: *size });
            sizes.iter().map(one).collect()
        };
        let lists = [list(&[1, 2, 3]), list(&[2, 4]), list(&[]), list(&[4, 1, 1]), list(&[5, 3])];
        let mut all = Vec::new();
        for one in &lists {
            add(&mut all, one);
        }
        for one in &lists {
            let mask = mask(&all, one);
            let kept = all.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1);
            assert_eq!(&kept.map(|(_, filter)| filter.clone()).collect::<Vec<_>>(), one, "{all:?}");
        }
    }
}
