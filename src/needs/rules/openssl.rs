//! OpenSSL's configuration and modules.

use std::path::Path;

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Functions that load a module or a configuration by name.
const USERS: [&str; 4] = [
    "OSSL_PROVIDER_load",
    "OSSL_PROVIDER_try_load",
    "ENGINE_by_id",
    "CONF_modules_load_file",
];
/// Names of the module directories, whose paths libcrypto contains (`openssl version -a`).
pub(super) const MODULES: [&str; 2] = ["ossl-modules", "engines-3"];
/// The configuration file, in the directory that libcrypto calls OPENSSLDIR.
const CONFIGURATION: &str = "openssl.cnf";

pub(super) static RULE: NeedRule = NeedRule {
    name: "openssl",
    mode: Mode::Hint,
    what: "OpenSSL's configuration and modules",
    sign: "an import of OSSL_PROVIDER_load, ENGINE_by_id and the like by the program itself",
    adds: "openssl.cnf, and the installed providers and engines (legacy digests)",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    process.loaded("libcrypto.so")?;
    process.program_imports(&USERS)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let process = supply.process;
    let library = process
        .loaded("libcrypto.so")
        .ok_or(Unmet::NotShown("the program does not load libcrypto"))?;
    let has = |path: &Path| supply.source.walk(path).is_ok();
    let mut additions = Vec::new();
    for folder in process.texts(library).words.iter().map(Path::new) {
        let configuration = folder.join(CONFIGURATION);
        if !folder.is_absolute() || !has(folder) {
            continue;
        }
        if MODULES.iter().any(|name| folder.ends_with(name)) {
            additions.push(Addition::Tree(folder.to_path_buf()));
        } else if has(&configuration) {
            // Not the whole directory: the CA certificates in it are a need of their own.
            additions.push(Addition::File(configuration));
        }
    }
    match additions.is_empty() {
        true => Err("neither openssl.cnf nor an OpenSSL module is installed".into()),
        false => Ok(additions),
    }
}
