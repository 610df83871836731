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
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let at = 0_u64..60_000;
    prop::collection::vec(
        prop_oneof![
            (at.clone(), prop::collection::vec(any::<u8>(), 0..40_000))
                .prop_map(|(at, bytes)| Op::Write(at, bytes)),
            at.clone().prop_map(Op::Trim),
            at.prop_map(Op::Truncate),
        ],
        0..12,
    )
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
            }
            model[..front].fill(0);
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
