//! stub
/// stub
#[derive(Clone, Copy, Debug)]
pub struct Digest(u128);
impl Digest {
    /// stub
    pub fn bytes(&mut self, b: &[u8]) {
        self.0 ^= b.len() as u128
    }
}
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// stub
    pub until: crate::kernel::time::Time,
    /// stub
    pub digest: u128,
    /// stub
    pub events: Vec<(u16, u64)>,
}
