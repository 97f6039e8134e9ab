//! Cases bootstrap: whole groups are drawn with replacement, each with all its rows (van der Leeden, Meijer & Busing 2008, in de Leeuw &
//! Meijer, Handbook of Multilevel Analysis, section 11.3). Nothing is assumed of distributions, only that groups are independent.
//!
//! A group that is drawn twice counts as two groups. Groups are drawn among those inside the same group of the next level; at the
//! coarsest level among all. The columns of the design go with the rows: between-person columns keep the centring of the fit.

use super::rng::Random;
use super::source::Source;
use super::{Change, Resampler, Scheme};
use crate::error::{CoreError, Result};
use crate::moments::nested::NestedMoments;
use crate::moments::regroup::{Drawn, Regroup};
use crate::statistics::Moments;

/// See the module documentation.
#[derive(Debug)]
pub struct Cases;

impl Scheme for Cases {
    fn name(&self) -> &'static str {
        "cases"
    }

    fn prepare<'s>(&self, source: &'s Source<'s>, group: Option<usize>) -> Result<Box<dyn Resampler + 's>> {
        let regroup = regroup(source, group)?;
        Ok(Box::new(Groups { strata: regroup.strata(), regroup }))
    }
}

/// The groups of a factor (index into the design's; by default the coarsest of the chain), ready to be drawn or left out.
///
/// # Errors
/// [`CoreError::Data`] when the factors are crossed or the factor has no random effects.
pub fn regroup<'s>(source: &'s Source<'s>, group: Option<usize>) -> Result<Regroup<'s>> {
    let moments = chain(source)?;
    let level = match group {
        None => moments.levels.len() - 1,
        Some(group) => {
            let block = |&b: &usize| source.statistics.basis.blocks[b].group == group;
            moments.hierarchy.blocks.iter().position(block).ok_or_else(|| CoreError::Data {
                what: format!("grouping factor {} has no random effects in the model", group + 1),
            })?
        }
    };
    let mut y = Vec::new();
    source.rows.outcome(&source.statistics.basis, source.design.y, &mut y);
    Regroup::new(moments, &source.statistics, &source.rows, &y, level, source.stop)
}

fn chain<'s>(source: &'s Source<'s>) -> Result<&'s NestedMoments> {
    match &source.statistics.moments {
        Moments::Nested(moments) => Ok(moments),
        Moments::Crossed(_) => Err(CoreError::Data {
            what: "the grouping factors are crossed, so no groups are independent of each other and whole groups cannot be resampled".into(),
        }),
    }
}

struct Groups<'s> {
    regroup: Regroup<'s>,
    strata: Vec<u32>,
}

impl Resampler for Groups<'_> {
    fn draw(&self, random: &mut Random, change: &mut Change) {
        let drawn = change.groups.get_or_insert_with(Drawn::default);
        drawn.nodes.clear();
        for stratum in self.strata.windows(2) {
            let size = stratum[1] - stratum[0];
            drawn.nodes.extend((0..size).map(|_| stratum[0] + random.below(size as usize) as u32));
        }
        drawn.starts.clone_from(&self.strata);
    }

    fn regroup(&self) -> Option<&Regroup<'_>> {
        Some(&self.regroup)
    }
}
