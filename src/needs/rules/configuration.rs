//! What the configuration that comes with a program names: see [`crate::needs::configuration`].

use crate::needs::{Mode, NeedRule};

pub(in crate::needs) static RULE: NeedRule = NeedRule {
    name: "configuration",
    mode: Mode::Automatic,
    what: "what its configuration names",
    sign: "paths and users in configuration files that come into the image by --add, --with paths or \
           --with plugins",
    adds: "the users, and the files with what they load; directories, and files that are closed to others, \
           as a hint",
    fires: |_| None,
    supply: |_| Ok(Vec::new()),
    is_met: None,
};
