//! The extension's faults on purpose (see `alb_runtime::faults`): each function stands beside what it spoils.

use std::sync::{Arc, OnceLock};

use alb_runtime::faults::{acted, is};

use crate::certificate::WorkloadIdentity;

pub(crate) use alb_runtime::faults::{acts as fault, begin};

static FIRST: OnceLock<Arc<WorkloadIdentity>> = OnceLock::new();

/// The certificate to publish: for ever the first.
pub(crate) fn identity(newest: Option<Arc<WorkloadIdentity>>) -> Option<Arc<WorkloadIdentity>> {
    if !is("first-certificate-only") {
        return newest;
    }
    let newest = newest?;
    let first = FIRST.get_or_init(|| newest.clone());
    if *first != newest {
        acted("first-certificate-only");
    }
    Some(first.clone())
}
