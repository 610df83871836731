use super::*;
use proptest::prelude::*;

fn nothing(addr: &LogAddr) -> Result<Vec<u8>, LogError> {
    panic!("nothing was written, yet {addr:?} is read")
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    Trim(u64),
    Truncate(u64),
    Punch(u64, u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let at = 0_u64..60_000;
    prop::collection::vec(
        prop_oneof![
            (at.clone(), prop::collection::vec(any::<u8>(), 0..40_000))
                .prop_map(|(at, bytes)| Op::Write(at, bytes)),
            at.clone().prop_map(Op::Trim),
            at.clone().prop_map(Op::Truncate),
            (at.clone(), at).prop_map(|(at, len)| Op::Punch(at, len)),
        ],
        0..12,
    )
}

/// The content as its kept parts tell it.
fn kept(pnode: &Pnode) -> Vec<u8> {
    let (mut out, mut at) = (vec![0; pnode.size as usize], 0);
    while let Some(range) = pnode.content_from(at, &nothing).unwrap() {
        assert!(range.start >= at && range.start < range.end, "{range:?} from {at}");
        let len = (range.end - range.start) as usize;
        let bytes = pnode.read(range.start, len, &nothing).unwrap();
        out[range.start as usize..][..len].copy_from_slice(&bytes);
        at = range.end;
    }
    out
}

proptest! {
    /// Against plain bytes.
    #[test]
    fn content_is_what_was_written(ops in ops()) {
        let mut pnode = Pnode::new(PnodeId(16), 1);
        let (mut model, mut front) = (Vec::new(), 0);
        for op in ops {
            match op {
                Op::Write(at, bytes) => {
                    let at = at as usize;
                    pnode.write(at as u64, &bytes, &nothing).unwrap();
                    if !bytes.is_empty() {
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Op::Trim(upto) => {
                    pnode.trim(upto, &nothing).unwrap();
                    front = front.max((upto as usize).min(model.len()));
                }
                Op::Truncate(size) => {
                    pnode.truncate(size, &nothing).unwrap();
                    model.resize(size as usize, 0);
                    front = front.min(model.len());
                }
                Op::Punch(at, len) => {
                    pnode.punch(at..at + len, &nothing).unwrap();
                    let end = model.len().min((at + len) as usize);
                    model[(at as usize).min(end)..end].fill(0);
                    let kept = pnode.content_from(at, &nothing).unwrap();
                    let next = (at + len) / CONTENT * CONTENT;
                    prop_assert!(
                        kept.is_none_or(|kept| kept.start >= next || kept.start < at + CONTENT)
                    );
                }
            }
            model[..front].fill(0);
            prop_assert_eq!(&kept(&pnode), &model);
            prop_assert_eq!(pnode.size, model.len() as u64);
            prop_assert_eq!(&pnode.read(0, usize::MAX >> 1, &nothing).unwrap(), &model);
        }
    }
}

#[test]
fn a_pnode_is_bounded_but_may_move_on() {
    let mut pnode = Pnode::new(PnodeId(16), 1);
    let far = CONTENT * LEAF_BLOCKS * LEAVES_MAX;
    assert!(matches!(pnode.write(far, b"x", &nothing), Err(LogError::TooLong { .. })));
    assert!(pnode.write(u64::MAX, b"xy", &nothing).is_err());
    pnode.write(far - 1, b"x", &nothing).unwrap();
    pnode.trim(far - 1, &nothing).unwrap();
    pnode.write(far, b"yz", &nothing).unwrap();
    assert_eq!(pnode.read(far - 1, 10, &nothing).unwrap(), b"xyz");
}

#[test]
fn blocks_of_which_nothing_is_left_are_given_up() {
    let mut pnode = Pnode::new(PnodeId(16), 1);
    pnode.write(0, &[7; 5 * CONTENT_BYTES], &nothing).unwrap();
    pnode.punch(CONTENT - 10..3 * CONTENT + 10, &nothing).unwrap();
    assert_eq!(pnode.content_from(0, &nothing).unwrap(), Some(0..CONTENT));
    assert_eq!(pnode.content_from(CONTENT, &nothing).unwrap(), Some(3 * CONTENT..5 * CONTENT));
    pnode.punch(0..CONTENT - 10, &nothing).unwrap();
    assert_eq!(pnode.content_from(0, &nothing).unwrap(), Some(3 * CONTENT..5 * CONTENT));
    pnode.truncate(5 * CONTENT - 5, &nothing).unwrap();
    pnode.punch(3 * CONTENT..5 * CONTENT - 5, &nothing).unwrap();
    assert_eq!(pnode.content_from(0, &nothing).unwrap(), None);
    assert_eq!(pnode.size, 5 * CONTENT - 5);
}

#[test]
fn what_was_trimmed_keeps_no_block() {
    let mut pnode = Pnode::new(PnodeId(16), 1);
    pnode.write(0, &[7; 3 * CONTENT_BYTES], &nothing).unwrap();
    pnode.trim(CONTENT + 100, &nothing).unwrap();
    pnode.punch(0..2 * CONTENT, &nothing).unwrap();
    assert_eq!(pnode.content_from(0, &nothing).unwrap(), Some(2 * CONTENT..3 * CONTENT));
}
