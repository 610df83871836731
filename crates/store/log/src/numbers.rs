//! Which pnodes there are.

use std::collections::BTreeSet;

use pegasus_base::PnodeId;

use crate::format::pnode::{PAGE_ENTRIES, PageAddrs};
use crate::{Log, LogError};

impl Log {
    /// The numbers of all pnodes, in order. Reads the table of all of them.
    ///
    /// # Errors
    /// If a page of the table can't be read.
    pub fn pnodes(&self) -> Result<Vec<PnodeId>, LogError> {
        let pnodes = self.shared.read().pnodes.clone();
        let mut found = BTreeSet::new();
        for (number, page) in pnodes.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let addrs = page.get(&|addr| self.load(addr), PageAddrs::parse)?;
            for (place, _) in addrs.0.iter().enumerate().filter(|(_, addr)| addr.is_some()) {
                found.insert(PnodeId((number * PAGE_ENTRIES + place) as u64));
            }
        }
        for (number, pnode) in &pnodes.known {
            match pnode {
                Some(_) => found.insert(*number),
                None => found.remove(number),
            };
        }
        Ok(found.into_iter().collect())
    }
}
