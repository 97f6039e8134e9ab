//! Jackknife over groups: the model fitted again without each of them (or each block of them) in turn, exactly.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::cases::regroup;
use super::independent_or;
use super::refit::Worker;
use super::source::Source;
use crate::error::{CoreError, Result};
use crate::moments::regroup::Drawn;
use crate::optimize::Control;
use crate::replicates::{each, Replicate};

/// Fits without the groups of each block in turn. `block` gives the block (0..blocks) of every level of the factor `group` (index into the
/// design's; by default the coarsest of the chain).
///
/// # Errors
/// [`CoreError::Data`] for crossed factors, [`CoreError::Design`] for a block per group that does not fit.
pub fn jackknife(
    source: &Source,
    group: Option<usize>,
    block: &[usize],
    control: &Control,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Result<Vec<Replicate>> {
    independent_or(false, source)?;
    let regroup = regroup(source, group)?;
    if block.len() != regroup.nodes() {
        return Err(CoreError::Design { what: format!("{} blocks for {} groups", block.len(), regroup.nodes()) });
    }
    let (original, strata) = (regroup.original(), regroup.strata());
    let blocks = block.iter().max().map_or(0, |&b| b + 1);
    each(
        blocks,
        stop,
        done,
        || Worker::new(source, control, stop),
        |worker, left_out| {
            let drawn = worker.change.groups.get_or_insert_with(Drawn::default);
            drawn.nodes.clear();
            drawn.starts.clear();
            drawn.starts.push(0);
            for stratum in strata.windows(2) {
                drawn.nodes.extend((stratum[0]..stratum[1]).filter(|&node| block[original[node as usize] as usize] != left_out));
                drawn.starts.push(drawn.nodes.len() as u32);
            }
            worker.fit(Some(&regroup))
        },
    )
}
