//! What a running program has in its memory, as root can read it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

/// How often each of `needles` stands in what a process can read and write.
pub fn count(process: u32, needles: &[Vec<u8>]) -> Vec<usize> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("the process runs");
    let memory = File::open(format!("/proc/{process}/mem")).expect("it is ours");
    let mut counts = vec![0; needles.len()];
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next().expect("a range"), words.next().expect("rights"));
        if !rights.starts_with("rw") {
            continue;
        }
        let (begin, end) = range.split_once('-').expect("a range");
        let address = |hex| u64::from_str_radix(hex, 16).expect("an address");
        let (begin, end) = (address(begin), address(end));
        let mut bytes = vec![0; usize::try_from(end - begin).expect("it fits into a test")];
        // What the kernel keeps for itself cannot be read.
        if memory.read_exact_at(&mut bytes, begin).is_err() {
            continue;
        }
        for (count, needle) in counts.iter_mut().zip(needles) {
            *count += bytes.windows(needle.len()).filter(|at| at == needle).count();
        }
    }
    counts
}
