//! A disk that keeps what was synced and, of the rest, whatever chance will have: some of the writes, in
//! part; some of the names.

use std::collections::BTreeMap;
use std::path::Path;

use super::Random;
use super::log::Op;

/// The smallest piece that a disk writes at once.
const SECTOR: usize = 512;

#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// The directory as the running system sees it, and as it is on the disk.
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Changes of the directory since it was last synced.
    renamed: Vec<BTreeMap<String, usize>>,
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Disk {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { file } if !self.names.contains_key(file) => {
                self.names.insert(file.clone(), self.files.len());
                self.files.push(File::default());
                self.renamed.push(self.names.clone());
            }
            Op::Create { .. } | Op::Ack(_) => {}
            Op::Write { file, offset, data } => {
                let write = Pending::Write(usize::try_from(*offset).expect("small"), data.clone());
                self.file(file).pending.push(write);
            }
            Op::Truncate { file, len } => {
                self.file(file).pending.push(Pending::Truncate(usize::try_from(*len).expect("small")));
            }
            Op::Sync { file } if file.is_empty() => {
                self.durable = self.names.clone();
                self.renamed.clear();
            }
            Op::Sync { file } => {
                let file = self.file(file);
                for change in std::mem::take(&mut file.pending) {
                    change.apply(&mut file.durable, None);
                }
            }
            Op::Unlink { file } => {
                self.names.remove(file);
                self.renamed.push(self.names.clone());
            }
            Op::Rename { from, to } => {
                let id = self.names.remove(from).expect("renamed what is there");
                self.names.insert(to.clone(), id);
                self.renamed.push(self.names.clone());
            }
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        let id = self.names[name];
        &mut self.files[id]
    }

    /// Writes what a power cut now would leave into an empty directory.
    pub fn after_power_cut(&self, into: &Path, random: &mut Random) {
        // names change in order, as in a journalling filesystem, but nobody knows how far they got
        let kept = random.below(self.renamed.len() as u64 + 1) as usize;
        let names = self.renamed[..kept].last().unwrap_or(&self.durable);
        let eagerness = [0, 50, 100][random.below(3) as usize];
        for (name, id) in names {
            let file = &self.files[*id];
            let mut content = file.durable.clone();
            for change in &file.pending {
                if random.below(100) < eagerness {
                    let torn = random.below(4) == 0;
                    change.apply(&mut content, torn.then_some(&mut *random));
                }
            }
            std::fs::write(into.join(name), content).expect("written");
        }
    }
}

impl Pending {
    /// With `torn`, only a part of a write that crosses sectors arrives.
    fn apply(&self, content: &mut Vec<u8>, torn: Option<&mut Random>) {
        match self {
            Pending::Truncate(len) => content.resize(*len, 0),
            Pending::Write(offset, data) => {
                let (mut from, mut to) = (0, data.len());
                if let Some(random) = torn {
                    let sectors = data.len().div_ceil(SECTOR) as u64;
                    let cut = (random.below(sectors + 1) as usize * SECTOR).min(data.len());
                    if random.below(2) == 0 {
                        to = cut;
                    } else {
                        from = cut;
                    }
                }
                if from < to {
                    let end = offset + to;
                    content.resize(content.len().max(end), 0);
                    content[offset + from..end].copy_from_slice(&data[from..to]);
                }
            }
        }
    }
}
