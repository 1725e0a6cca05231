//! The records of the packages that the files of the image are of, for scanners.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

pub(super) static RULE: NeedRule = NeedRule {
    name: PACKAGE_RECORDS,
    mode: Mode::Automatic,
    what: "which packages its files are of, for scanners and SBOM tools",
    sign: "a package of the distribution (dpkg, apk) owns a file of the image, or a file names its \
           package in a note",
    adds: "/etc/os-release, and dpkg's status.d, apk's database or rpm's manifest with the packages and \
           files that are in the image",
    fires: |_: &Process<'_>| -> Option<Sign> { None },
    supply,
    is_met: None,
};

/// The name of the need.
pub const PACKAGE_RECORDS: &str = "package-records";

/// What the image holds is known when its tree is: nothing is added before.
fn supply(_: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    Ok(Vec::new())
}
