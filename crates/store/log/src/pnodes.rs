//! The table of pnodes: pages that say where each image is, and the pnodes that are in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use pegasus_base::PnodeId;

use crate::LogError;
use crate::format::pnode::{Image, LogAddr, PAGE_ENTRIES, PageAddrs};
use crate::pnode::Pnode;

/// Reads a piece of the log.
pub(crate) type Load<'a> = &'a dyn Fn(&LogAddr) -> Result<Vec<u8>, LogError>;

/// A page of images.
pub(crate) type Page = Lazy<PageAddrs>;

/// All pnodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pnodes {
    /// Pages of images as the last checkpoint wrote them; `None` if a page has none.
    pub(crate) pages: Vec<Option<Arc<Page>>>,
    /// Those in memory; `None` if deleted since the last checkpoint. All that changed are here.
    pub(crate) known: BTreeMap<PnodeId, Option<Arc<Pnode>>>,
}

/// Number of the page a pnode's image is in, and its place there.
pub(crate) fn page_of(pnode: PnodeId) -> (usize, usize) {
    ((pnode.0 / PAGE_ENTRIES as u64) as usize, (pnode.0 % PAGE_ENTRIES as u64) as usize)
}

impl Pnodes {
    pub(crate) fn restore(pages: &[Option<LogAddr>]) -> Self {
        let pages = pages.iter().map(|addr| addr.map(|addr| Arc::new(Page::at(addr)))).collect();
        Self { pages, known: BTreeMap::new() }
    }

    /// The pnode if it is known without reading; `Err` with its page if that has to be asked.
    pub(crate) fn find(&self, pnode: PnodeId) -> Result<Option<Arc<Pnode>>, Arc<Page>> {
        if let Some(known) = self.known.get(&pnode) {
            return Ok(known.clone());
        }
        match self.pages.get(page_of(pnode).0) {
            Some(Some(page)) => Err(page.clone()),
            _ => Ok(None),
        }
    }

    /// Finds a pnode, reading what is not in memory.
    pub(crate) fn get(
        &self,
        pnode: PnodeId,
        load: Load<'_>,
    ) -> Result<Option<Arc<Pnode>>, LogError> {
        let page = match self.find(pnode) {
            Ok(known) => return Ok(known),
            Err(page) => page,
        };
        match page.get(load, PageAddrs::parse)?.0[page_of(pnode).1] {
            Some(addr) => load_image(pnode, addr, load).map(|pnode| Some(Arc::new(pnode))),
            None => Ok(None),
        }
    }
}

pub(crate) fn load_image(pnode: PnodeId, addr: LogAddr, load: Load<'_>) -> Result<Pnode, LogError> {
    let bytes = load(&addr)?;
    match Image::parse(&bytes) {
        Some(image) if image.id == pnode => Ok(Pnode::from_image(image, addr)),
        _ => Err(LogError::Damaged {
            what: pnode.to_string(),
            why: format!("what block {} of {} holds is not its image", addr.seq, addr.segment),
        }),
    }
}

/// A part of the log that is read when first needed: a leaf or a page.
#[derive(Clone, Debug)]
pub(crate) struct Lazy<T> {
    /// Where it is; `None` if it changed since the last checkpoint.
    pub(crate) addr: Option<LogAddr>,
    value: OnceLock<T>,
}

impl<T> Lazy<T> {
    pub(crate) fn at(addr: LogAddr) -> Self {
        Self { addr: Some(addr), value: OnceLock::new() }
    }

    pub(crate) fn new(value: T) -> Self {
        Self { addr: None, value: OnceLock::from(value) }
    }

    pub(crate) fn placed(value: T, addr: LogAddr) -> Self {
        Self { addr: Some(addr), value: OnceLock::from(value) }
    }

    pub(crate) fn get(
        &self,
        load: Load<'_>,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<&T, LogError> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let addr = self.addr.expect("what changed is in memory");
        let bytes = load(&addr)?;
        let value = parse(&bytes).ok_or_else(|| LogError::Damaged {
            what: format!("the map in block {} of {}", addr.seq, addr.segment),
            why: "its checksum is right, but it makes no sense".to_owned(),
        })?;
        Ok(self.value.get_or_init(|| value))
    }

    /// The value if it is in memory.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.get()
    }
}
