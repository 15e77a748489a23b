//! Plays a scenario with every recorder on and prints its events and its root requests: the
//! simulation alone, for counts of instructions. Pictures and files are the command line's.
//!
//! usage: play FILE.toml [KEY=VALUE]...

use meshsim::scenario::{self, Files};
use meshsim::world::{
    self,
    options::{Go, Options},
};

struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

#[expect(clippy::print_stdout, reason = "an example's whole purpose")]
fn main() {
    let mut words = std::env::args().skip(1);
    let file = words.next().expect("usage: play FILE.toml [KEY=VALUE]...");
    let sets: Vec<String> = words.collect();
    let loaded = scenario::load(&Disk, &file, &sets, None).expect("a valid scenario");
    let plan = &loaded.plan;
    let run = world::simulate(plan, plan.seed, Options::default(), &mut |_| Go::On);
    println!("{}\n{}", run.events, run.requests.total);
}
