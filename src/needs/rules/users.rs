//! Users and groups.

use std::path::{Path, PathBuf};

use crate::exec::{AccountKind, Accounts, is_number};
use crate::needs::{Addition, Mode, NeedRule, Process, Selection, Sign, Supply, Unmet};
use crate::vfs::View;

/// Functions that read `/etc/passwd` or `/etc/group`.
const READERS: [&str; 14] = [
    "getpwnam",
    "getpwnam_r",
    "getpwuid",
    "getpwuid_r",
    "getpwent",
    "getgrnam",
    "getgrnam_r",
    "getgrgid",
    "getgrgid_r",
    "getgrent",
    "getgrouplist",
    "initgroups",
    "getlogin",
    "cuserid",
];
/// The files that they read.
const FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];
/// The ID of a user or group that the source does not define.
const FIRST_USER: u32 = 1000;

pub(super) static RULE: NeedRule = NeedRule {
    name: "users",
    mode: Mode::Automatic,
    what: "users and groups (/etc/passwd)",
    sign: "an import of getpwnam, getpwuid, getgrnam and the like, or the string /etc/passwd in a static \
           program; a user set with -u",
    adds: "/etc/passwd and /etc/group with root, nobody and the user of -u; users=NAME+NAME adds others; \
           from an image, both files unchanged",
    fires,
    supply,
    is_met: Some(|process| process.has("/etc/passwd")),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    let is_named = process.user.split(':').any(|part| !is_number(part));
    if is_named {
        let text = format!("is started as the user {}", process.user);
        return Some(Sign::new(0, text));
    }
    process
        .imports(&READERS)
        .or_else(|| process.static_string(&["/etc/passwd"]))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let is_there = |file: &Path| supply.source.walk(file).is_ok();
    if supply.is_image && FILES.iter().all(|file| is_there(Path::new(file))) {
        // Configuration files of the image may name any of its users.
        return Ok(FILES.map(|file| Addition::File(file.into())).to_vec());
    }
    made(supply.source, supply.process.user, supply.arguments)
}

/// Both files with the users that were asked for, and with `more`.
pub(in crate::needs) fn with(
    source: &View,
    user: &str,
    selection: &Selection,
    more: &[String],
) -> Result<Vec<Addition>, Unmet> {
    let names = [selection.arguments(&RULE), more].concat();
    made(source, user, &names)
}

fn made(source: &View, user: &str, others: &[String]) -> Result<Vec<Addition>, Unmet> {
    let (passwd, group) = entries(source, user, others)?;
    let [passwd_file, group_file] = FILES.map(PathBuf::from);
    Ok(vec![
        Addition::Made(passwd_file, passwd.into_bytes()),
        Addition::Made(group_file, group.into_bytes()),
    ])
}

/// The contents of both files: root, nobody, the user with its group, as the source defines them or,
/// for a number, made up, and `others` from the source.
fn entries(source: &View, user: &str, others: &[String]) -> Result<(String, String), String> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let mut passwd = vec![
        "root:x:0:0:root:/root:/bin/sh".to_owned(),
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin".to_owned(),
    ];
    // The group of nobody is nogroup on Debian, and nobody elsewhere.
    let groups = ["root:x:0:", "nobody:x:65534:", "nogroup:x:65534:"];
    let mut groups = groups.map(str::to_owned).to_vec();
    let known_user = find(source, AccountKind::User, user);
    let field = |line: &String, at: usize| line.split(':').nth(at).unwrap_or_default().to_owned();
    let own_group = known_user.as_ref().map(|line| field(line, 3));
    let id = |name: &str| match is_number(name) {
        true => name.to_owned(),
        false => FIRST_USER.to_string(),
    };
    let group = match (group.is_empty(), own_group) {
        (true, Some(number)) => number,
        (true, None) => user.to_owned(),
        (false, _) => group.to_owned(),
    };
    let known_group = find(source, AccountKind::Group, &group).map(|line| {
        // Its members are not included in the image.
        format!("{}:x:{}:", field(&line, 0), field(&line, 2))
    });
    let group_line = known_group.unwrap_or_else(|| {
        let name = if is_number(&group) {
            format!("group{group}")
        } else {
            group.clone()
        };
        format!("{name}:x:{}:", id(&group))
    });
    let is_known = known_user.is_some();
    let user_line = known_user.unwrap_or_else(|| {
        let name = if is_number(user) {
            format!("user{user}")
        } else {
            user.to_owned()
        };
        let number = field(&group_line, 2);
        format!("{name}:x:{}:{number}::/:/sbin/nologin", id(user))
    });
    // A name without an entry stays unknown, as it is to the engine.
    if !user.is_empty() && (is_known || is_number(user)) {
        add(&mut passwd, user_line);
        add(&mut groups, group_line);
    }
    for name in others {
        let user = find(source, AccountKind::User, name);
        let user = user.ok_or_else(|| format!("there is no user {name} in /etc/passwd"))?;
        if let Some(group) = find(source, AccountKind::Group, &field(&user, 3)) {
            add(
                &mut groups,
                format!("{}:x:{}:", field(&group, 0), field(&group, 2)),
            );
        }
        add(&mut passwd, user);
    }
    Ok((passwd.join("\n") + "\n", groups.join("\n") + "\n"))
}

/// Adds an entry unless its name or ID already exists.
fn add(lines: &mut Vec<String>, line: String) {
    let key = |line: &str| {
        let mut fields = line.split(':');
        (
            fields.next().map(str::to_owned),
            fields.nth(1).map(str::to_owned),
        )
    };
    let (name, number) = key(&line);
    if !lines
        .iter()
        .any(|known| key(known).0 == name || key(known).1 == number)
    {
        lines.push(line);
    }
}

fn find(source: &View, kind: AccountKind, wanted: &str) -> Option<String> {
    if wanted.is_empty() {
        return None;
    }
    Some(Accounts::of(source).find(kind, wanted)?.line())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vfs::Memo;
    use crate::vfs::memory::MemoryVfs;

    #[test]
    fn the_user_is_that_of_the_source_or_made_up() {
        let vfs = MemoryVfs::new()
            .file("/etc/passwd", "www:secret:33:34:web:/var/www:/bin/sh\n")
            .file("/etc/group", "web:x:34:alice,bob\n");
        let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
        let last = |user: &str| {
            let (passwd, group) = entries(&view, user, &[]).unwrap();
            let last = |text: &str| text.lines().last().unwrap().to_owned();
            (last(&passwd), last(&group))
        };
        let www = (
            "www:x:33:34:web:/var/www:/bin/sh".to_owned(),
            "web:x:34:".to_owned(),
        );
        assert_eq!(last("www"), www);
        assert_eq!(last("33"), www);
        assert_eq!(last("app"), last(""), "nobody knows it");
        assert_eq!(last("5:7").0, "user5:x:5:7::/:/sbin/nologin");
        assert_eq!(
            last("").0,
            "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin"
        );
        assert_eq!(last("root").1, "nogroup:x:65534:");
    }
}
