//! The power of two choices among very many servers, and what n of them add to it.
//!
//! The shares x of servers with at least i requests flow to a rest. Among n servers the mean is
//! off by V/n + O(1/n²), where V follows from the curvature of the flow F, its Jacobian A at the
//! rest, and the variance W of the fluctuations around it, which are fed by Q:
//!
//! ```text
//! d/dt x(i) = ρ (x(i−1)² − x(i)²) − (x(i) − x(i+1)),   at rest x(i) = ρ^(2^i − 1)
//! A W + W Aᵀ + Q = 0,   A V + ½ D²F · W = 0
//! ```
//!
//! Source: Mitzenmacher, IEEE TPDS 12(10) (2001); Vvedenskaya, Dobrushin and Karpelevich (1996);
//! the term in 1/n: Gast and Van Houdt, "A Refined Mean Field Approximation", SIGMETRICS 2018.
//! Left out: more than two choices; the term in 1/n².

/// Shares beyond this queue length are below 10^-300 at any load here.
const LEVELS: usize = 12;

/// The rest of the flow: x(1), x(2), ….
fn rest(load: f64) -> [f64; LEVELS] {
    let mut share = load;
    std::array::from_fn(|_| {
        let this = share;
        share = share * share * load;
        this
    })
}

/// Mean sojourn of infinitely many servers.
pub(super) fn limit_sojourn(load: f64) -> f64 {
    rest(load).iter().sum::<f64>() / load
}

/// Mean sojourn of `servers` servers up to O(1/n²); the two draws may hit the same server.
pub(super) fn sojourn(servers: u32, load: f64) -> f64 {
    limit_sojourn(load) + correction(load) / load / f64::from(servers)
}

/// The sum of V: requests per server, times the number of servers.
fn correction(load: f64) -> f64 {
    let x = rest(load);
    let flow = jacobian(load, &x);
    let next = |i: usize| x.get(i + 1).copied().unwrap_or(0.0);
    // W, row by row, as one vector: each entry has one equation.
    let mut equations = vec![vec![0.0; LEVELS * LEVELS]; LEVELS * LEVELS];
    let mut noise = vec![0.0; LEVELS * LEVELS];
    for i in 0..LEVELS {
        for j in 0..LEVELS {
            let row = &mut equations[i * LEVELS + j];
            for k in 0..LEVELS {
                row[k * LEVELS + j] += flow[i][k];
                row[i * LEVELS + k] += flow[j][k];
            }
        }
        // Arrivals and departures at length i are equally frequent at rest.
        noise[i * LEVELS + i] = -2.0 * (x[i] - next(i));
    }
    let variance = solve(equations, noise);
    let own = |i: usize| variance[i * LEVELS + i];
    let curvature = (0..LEVELS).map(|i| {
        let before = if i == 0 { 0.0 } else { own(i - 1) };
        -load * (before - own(i))
    });
    let rows = flow.iter().map(|row| row.to_vec()).collect();
    solve(rows, curvature.collect()).iter().sum()
}

/// A: how the flow at rest changes with each share.
fn jacobian(load: f64, x: &[f64; LEVELS]) -> [[f64; LEVELS]; LEVELS] {
    let mut flow = [[0.0; LEVELS]; LEVELS];
    for i in 0..LEVELS {
        flow[i][i] = -2.0 * load * x[i] - 1.0;
        if i != 0 {
            flow[i][i - 1] = 2.0 * load * x[i - 1];
        }
        if i + 1 < LEVELS {
            flow[i][i + 1] = 1.0;
        }
    }
    flow
}

/// Gauss's elimination with the greatest pivot of each column.
fn solve(mut rows: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for column in 0..n {
        let size = |row: &usize| rows[*row][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).expect("not empty");
        rows.swap(column, pivot);
        right.swap(column, pivot);
        let (above, below) = rows.split_at_mut(column + 1);
        let pivot_row = &above[column];
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[column] / pivot_row[column];
            for (cell, pivot) in row[column..].iter_mut().zip(&pivot_row[column..]) {
                *cell -= factor * pivot;
            }
            right[column + 1 + offset] -= factor * right[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| rows[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / rows[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_the_published_sum() {
        for (load, expected) in [(0.5, 1.265_686_036_1), (0.9, 2.614_057_377_4)] {
            assert!((limit_sojourn(load) - expected).abs() < 1e-9, "{}", limit_sojourn(load));
        }
    }

    #[test]
    fn the_term_in_one_over_n_is_that_of_gast_and_van_houdt() {
        // Their table 1 at load 0.9: 2.3527 requests a server in the limit, 2.7513 for n = 10.
        for (servers, expected) in [(10, 2.7513), (100, 2.3925)] {
            let requests = 0.9 * sojourn(servers, 0.9);
            assert!((requests - expected).abs() < 2e-4, "{servers}: {requests}");
        }
    }
}
