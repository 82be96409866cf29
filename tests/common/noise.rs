//! Noise for the tests over hostile input: the same sequence everywhere and at each run.

use std::path::Path;

/// SplitMix64.
pub struct Noise(pub u64);

impl Noise {
    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }
}

/// The octets of every file of a folder of the project, by name, without those of its folders; there must be some.
pub fn files(folder: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let mut files: Vec<_> = entries.map(|f| f.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files.iter().map(|file| std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).collect()
}
