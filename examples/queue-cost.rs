//! The queue alone, for `scripts/instructions`: so many rounds of one pattern, and nothing else.
//!
//! `queue-cost hold N`: an event is popped and another scheduled, with a thousand waiting.
//! `queue-cost lane N`: a timer is set in a lane of a thousand, and the oldest one cancelled.

use meshsim::kernel::queue::{Queue, TimerId};
use meshsim::kernel::stream::Key;
use meshsim::kernel::time::Duration;

/// Events or timers at once.
const LIVE: u32 = 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pattern, rounds] = &arguments[..] else { panic!("queue-cost hold|lane ROUNDS") };
    let rounds: u32 = rounds.parse().expect("a number of rounds");
    match pattern.as_str() {
        "hold" => hold(rounds),
        "lane" => lane(rounds),
        _ => panic!("queue-cost hold|lane ROUNDS"),
    }
}

fn hold(rounds: u32) {
    let mut queue = Queue::new();
    let key = Key(1);
    let delay = |n: u32| Duration::from_ns(key.draw(n, 0) >> 40);
    for n in 0..LIVE {
        queue.after(delay(n), 1);
    }
    for n in 0..rounds {
        queue.pop().expect("there are always a thousand");
        queue.after(delay(n), 1);
    }
    assert_eq!(queue.len(), LIVE as usize);
}

fn lane(rounds: u32) {
    let mut queue = Queue::new();
    let lane = queue.lane(Duration::from_s(1));
    let mut timers = [TimerId::NONE; LIVE as usize];
    for timer in &mut timers {
        *timer = queue.after_lane(lane, 1);
    }
    for n in 0..rounds {
        let oldest = &mut timers[(n % LIVE) as usize];
        queue.cancel(*oldest);
        *oldest = queue.after_lane(lane, 1);
    }
    assert_eq!(queue.len(), LIVE as usize);
}
