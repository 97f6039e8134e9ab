//! One replicate fitted.

use std::sync::atomic::AtomicBool;

use super::source::Source;
use super::Change;
use crate::aliasing::doubtful;
use crate::error::Result;
use crate::fit::Prepared;
use crate::moments::regroup::Regroup;
use crate::optimize::Control;
use crate::replicates::Replicate;
use crate::statistics::Moments;
use crate::structured::Structured;

/// What one thread needs to fit replicate after replicate.
pub(super) struct Worker<'w> {
    source: &'w Source<'w>,
    control: &'w Control,
    prepared: Prepared<'w>,
    scratch: Vec<f64>,
    /// What the replicate changes.
    pub(super) change: Change,
}

impl<'w> Worker<'w> {
    pub(super) fn new(source: &'w Source<'w>, control: &'w Control, stop: &'w AtomicBool) -> Self {
        let prepared = Prepared::from_statistics(source.statistics.clone(), stop);
        Worker { source, control, prepared, scratch: Vec::new(), change: Change::default() }
    }

    /// Fits what `self.change` holds.
    pub(super) fn fit(&mut self, regroup: Option<&Regroup>) -> Result<Replicate> {
        match (regroup, &self.change.groups) {
            (Some(regroup), Some(drawn)) => {
                let (rows, moments) = regroup.moments(drawn);
                let p = self.source.statistics.basis.x.len();
                // the fit's own columns were judged by themselves where the cross-products left room for doubt
                if rows <= p || (doubtful(p, &moments.total) && !doubtful(p, original(self.source))) {
                    return Ok(Replicate::unidentified());
                }
                self.prepared.statistics.n = rows;
                self.prepared.statistics.moments = Moments::Nested(moments);
            }
            _ if !self.source.free.is_empty() => return self.fit_structured(),
            _ => self.source.rows.replace(&self.change.y, &mut self.prepared.statistics, &mut self.scratch)?,
        }
        let found = self.prepared.refit(self.control, Some(&self.source.inside), |_, _, _| Ok(()));
        Replicate::of(found.map(|(status, brief, ())| (status, brief, Vec::new())))
    }

    /// A residual structure is estimated anew, from where the fit ended: its moments hold for one φ only.
    fn fit_structured(&self) -> Result<Replicate> {
        let source = self.source;
        let mut design = source.design.clone();
        design.y = &self.change.y;
        let structured = Structured::from_statistics(&design, source.statistics.clone(), self.prepared.stop);
        Replicate::of(structured.refit(self.control, &source.inside, &source.free))
    }
}

fn original<'s>(source: &'s Source) -> &'s [f64] {
    match &source.statistics.moments {
        Moments::Nested(m) => &m.total,
        Moments::Crossed(m) => &m.total,
    }
}
