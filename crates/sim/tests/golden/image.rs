//! Disks in a file: for each its size and the sectors that are not all zeros, compressed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use pegasus_disk::{Disk, SECTOR, SimDisk, read};

pub(crate) fn save(disks: &[SimDisk]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    let mut put = |number: u64| out.write_all(&number.to_le_bytes()).unwrap();
    put(disks.len() as u64);
    let mut sectors = Vec::new();
    for disk in disks {
        let bytes = read(disk, 0, disk.size() as usize).unwrap();
        let used: Vec<u64> = (0..disk.size() / SECTOR as u64)
            .filter(|at| sector(&bytes, *at).iter().any(|byte| *byte != 0))
            .collect();
        put(disk.size());
        put(used.len() as u64);
        for at in used {
            put(at);
            sectors.extend_from_slice(sector(&bytes, at));
        }
    }
    out.write_all(&sectors).unwrap();
    out.finish().unwrap()
}

fn sector(bytes: &[u8], at: u64) -> &[u8] {
    let start = at as usize * SECTOR;
    &bytes[start..start + SECTOR]
}

pub(crate) fn load(bytes: &[u8]) -> Vec<SimDisk> {
    let mut input = GzDecoder::new(bytes);
    let mut number = || {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let (mut disks, mut places) = (Vec::new(), Vec::new());
    for disk in 0..number() {
        disks.push(SimDisk::new(&format!("sim{disk}"), number()));
        places.extend((0..number()).map(|_| (disk as usize, number())));
    }
    for (disk, at) in places {
        let mut sector = vec![0; SECTOR];
        input.read_exact(&mut sector).unwrap();
        disks[disk].overwrite(at * SECTOR as u64, &sector);
    }
    disks
}
