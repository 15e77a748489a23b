//! stub
use crate::kernel::time::Duration;
/// stub
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Distribution {
    Constant(Duration),
    Uniform { low: Duration, high: Duration },
    Exponential { mean: Duration },
    Lognormal { median: Duration, sigma: f64 },
    Pareto { scale: Duration, shape: f64 },
    Weibull { scale: Duration, shape: f64 },
    Erlang { stages: u32, mean: Duration },
    Hyperexponential { branches: Vec<(f64, Duration)> },
    Empirical { values: Vec<Duration> },
}
