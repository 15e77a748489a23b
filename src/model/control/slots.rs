//! How many pushes, and new streams a second, an istiod replica allows by its cores.
//!
//! Source: istio pilot/pkg/features/tuning.go:39-75, since 1.21.
//! Left out: nothing.

/// What is `configured`; where that is 0, min(15 + 5·`cpu`, 100).
pub fn auto_slots(configured: u32, cpu: u32) -> u32 {
    match configured {
        0 => cpu.saturating_mul(5).saturating_add(15).min(100),
        _ => configured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_cores_unless_configured() {
        for (configured, cpu, slots) in
            [(0, 1, 20), (0, 2, 25), (0, 4, 35), (0, 17, 100), (0, u32::MAX, 100), (7, 4, 7)]
        {
            assert_eq!(auto_slots(configured, cpu), slots, "{configured} configured, {cpu} cores");
        }
    }
}
