//! Owns the verdicts: a demand against facts, nothing touched.

use kojibox_console::Exit;

use super::{Abilities, Demand, Facts, Finding, RootKind, probe::is_full, space};
use crate::platform::{HostLibc, Volume};

/// Compares what is asked for with what is there; in the order a person would fix things.
pub(crate) fn judge(demand: &Demand, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![root(demand, facts)];
    if demand.is_on_medium() {
        // Not even tried out: the medium is never written to.
        return findings;
    }
    match &facts.place {
        Ok((volume, abilities)) => {
            findings.extend(volumes(demand, facts));
            findings.extend(space::judge(demand, facts, *volume));
            findings.extend(file_system(demand, *volume, *abilities, facts.data));
        }
        Err(error) if is_full(error) => findings.push(space::full(demand, error)),
        Err(error) => findings.push(
            Finding::error(
                "root",
                Exit::FileSystem,
                format!("could not write in `{}`", facts.anchor.display()),
            )
            .why(error.to_string())
            .fix("choose a place of your own with `--root`, or have its owner give you write permission"),
        ),
    }
    findings.extend(paths(demand, facts));
    findings.extend(user(demand, facts));
    findings.extend(libc(demand, facts));
    findings.extend(ports(demand, facts));
    findings.push(clock(demand, facts));
    findings
}

fn root(demand: &Demand, facts: &Facts) -> Finding {
    let shown = demand.root.display();
    let refuse = |what: String| Finding::error("root", Exit::Usage, what);
    if demand.is_on_medium() {
        return refuse(format!("`{shown}` is on the medium that the packs come from"))
            .why("the medium is never written to")
            .fix("choose a place on this machine with `--root`");
    }
    match &facts.root {
        RootKind::Absent => Finding::ok("root", format!("`{shown}` will be created")),
        RootKind::Empty => Finding::ok("root", format!("`{shown}` is empty")),
        RootKind::Installed => Finding::ok("root", format!("`{shown}` is an install root")),
        RootKind::Foreign(example) => refuse(format!("`{shown}` is not empty and not an install root"))
            .why(format!("it holds `{example}`, which is not ours"))
            .fix("choose a new or empty directory with `--root`"),
        RootKind::NotADirectory => {
            refuse(format!("`{shown}` is not a directory")).fix("choose a new or empty directory with `--root`")
        }
    }
}

/// Trees get their names by a rename from staging, which no two volumes share.
fn volumes(demand: &Demand, facts: &Facts) -> Option<Finding> {
    let first = facts.apart.first()?;
    let what = format!("`{first}` of `{}` is on another volume", demand.root.display());
    let finding = Finding::error("volumes", Exit::FileSystem, what)
        .why("what is installed gets its name by one rename, which needs one volume")
        .fix("mount one volume at the install root itself; `data` and `logs` may be volumes of their own");
    Some(finding)
}

fn file_system(demand: &Demand, volume: Volume, able: Abilities, apart: Option<(Volume, Abilities)>) -> Vec<Finding> {
    let shown = demand.root.display();
    let mut findings = Vec::new();
    for (need, has, words) in [
        ("exec", able.exec, "run programs"),
        ("symlink", able.symlink, "hold symbolic links"),
        ("case-sensitive", able.case_sensitive, "tell `a` from `A`"),
    ] {
        let asking: Vec<_> = new_components_needing(demand, need).collect();
        if !has && !asking.is_empty() {
            findings.push(
                Finding::error(
                    "abilities",
                    Exit::FileSystem,
                    format!("the file system of `{shown}` cannot {words}"),
                )
                .why(if need == "exec" && volume.noexec {
                    format!("it is mounted `noexec`; needed by {}", asking.join(", "))
                } else {
                    format!("needed by {}", asking.join(", "))
                })
                .fix("choose a place on the system's own disk with `--root`"),
            );
        }
    }
    findings.extend((!able.append).then(|| no_append(demand)));
    let data: Vec<_> = demand.services.iter().filter(|s| s.keeps_data).collect();
    let modes = apart.map_or(able.modes, |(_, of_data)| of_data.modes);
    if !modes && !data.is_empty() {
        let names: Vec<_> = data.iter().map(|s| format!("`{}`", s.id)).collect();
        findings.push(
            Finding::error(
                "abilities",
                Exit::FileSystem,
                format!("the file system of `{shown}` cannot keep a file from other users"),
            )
            .why(format!("needed for the data of {}", names.join(", ")))
            .fix("choose a place on the system's own disk with `--root`"),
        );
    }
    if findings.is_empty() && !able.modes {
        findings.push(
            Finding::warning("abilities", format!("the file system of `{shown}` has no file modes"))
                .why("any user of this machine can change what is installed"),
        );
    } else if findings.is_empty() {
        let links = if able.hard_link { "" } else { ", no hard links" };
        findings.push(Finding::ok(
            "abilities",
            format!("the file system can do what is needed{links}"),
        ));
    }
    findings
}

fn no_append(demand: &Demand) -> Finding {
    let what = format!("the file system of `{}` cannot add to a file", demand.root.display());
    Finding::error("abilities", Exit::FileSystem, what)
        .why("the journal needs it, without which an interruption could lose the installation")
        .fix("choose a place on the system's own disk with `--root`")
}

fn new_components_needing<'a>(demand: &'a Demand, need: &'a str) -> impl Iterator<Item = String> + 'a {
    demand
        .components
        .iter()
        .filter(move |c| c.needs.iter().any(|n| n == need))
        .map(|c| format!("`{}`", c.id))
}

fn paths(demand: &Demand, facts: &Facts) -> Vec<Finding> {
    let root = demand.root.as_os_str().len();
    let longest = demand
        .components
        .iter()
        .map(|c| (root + "/components//".len() + c.dir.len() + c.max_path_len as usize, c))
        .max_by_key(|(len, _)| *len);
    match longest {
        Some((len, component)) if len > facts.limit.path => vec![
            Finding::error(
                "paths",
                Exit::FileSystem,
                format!("`{}` is too long a path", demand.root.display()),
            )
            .why(format!(
                "component `{}` would reach {len} characters, this system takes {}",
                component.id, facts.limit.path
            ))
            .fix("choose a shorter `--root`"),
        ],
        Some((len, _)) => vec![Finding::ok("paths", format!("the longest path has {len} characters"))],
        None => Vec::new(),
    }
}

fn user(demand: &Demand, facts: &Facts) -> Vec<Finding> {
    let picky: Vec<_> = demand
        .services
        .iter()
        .filter(|s| s.wants_plain_user)
        .map(|s| format!("`{}`", s.id))
        .collect();
    if picky.is_empty() {
        return Vec::new();
    }
    let names = picky.join(", ");
    if facts.user.superuser {
        return vec![
            Finding::warning("user", format!("{names} will refuse to start for the superuser"))
                .fix("install and run as an ordinary user"),
        ];
    }
    if !facts.user.has_account {
        let id = facts.user.id.map(|id| format!(" {id}")).unwrap_or_default();
        return vec![
            Finding::warning("user", format!("user id{id} has no entry in /etc/passwd"))
                .why(format!("{names} may refuse to start without one"))
                .fix("install and run as a user that the system knows by name"),
        ];
    }
    vec![Finding::ok("user", format!("{names} can run as this user"))]
}

fn libc(demand: &Demand, facts: &Facts) -> Vec<Finding> {
    let wanting = demand
        .components
        .iter()
        .filter_map(|c| Some((glibc_version(c.min_glibc.as_deref()?)?, c)))
        .max_by_key(|(version, _)| *version);
    let Some(((major, minor), component)) = wanting else {
        return Vec::new();
    };
    let id = &component.id;
    vec![match facts.libc {
        HostLibc::Glibc(a, b) if (a, b) < (major, minor) => Finding::error(
            "libc",
            Exit::FileSystem,
            format!("this system is too old for component `{id}`"),
        )
        .why(format!("it needs glibc {major}.{minor}, this system has {a}.{b}"))
        .fix("use a newer system, or ask the publisher for a pack that carries its own C library"),
        HostLibc::Glibc(a, b) => Finding::ok("libc", format!("glibc {major}.{minor} needed, {a}.{b} found")),
        HostLibc::NotNeeded => Finding::ok("libc", "no C library is asked for on this system".to_owned()),
        HostLibc::NotFound => Finding::warning("libc", format!("no glibc was found, component `{id}` may not run"))
            .why(format!("it needs glibc {major}.{minor}")),
    }]
}

fn glibc_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

fn ports(demand: &Demand, facts: &Facts) -> Vec<Finding> {
    if demand.ports.is_empty() {
        return Vec::new();
    }
    let taken = demand.ports.iter().filter(|p| facts.busy.contains(&p.port));
    let mut findings: Vec<_> = taken
        .map(|p| {
            let what = format!("port {} of `{}` is taken by another program", p.port, p.name);
            if p.pinned {
                Finding::error("ports", Exit::NotReady, what)
                    .why("the pack says that it must be exactly this one")
                    .fix("end the program that holds the port")
            } else {
                Finding::warning("ports", what).fix("the launcher takes the next free one; `kojibox status` shows it")
            }
        })
        .collect();
    if findings.is_empty() {
        let what = match demand.ports.len() {
            1 => "the port asked for is free".to_owned(),
            n => format!("all {n} ports asked for are free"),
        };
        findings.push(Finding::ok("ports", what));
    }
    findings
}

fn clock(demand: &Demand, facts: &Facts) -> Finding {
    if facts.now < demand.not_before {
        return Finding::warning("clock", format!("the clock says {}", facts.now))
            .why(format!(
                "signed documents prove that it is at least {}",
                demand.not_before
            ))
            .fix("set the clock; until then the signed time is used");
    }
    Finding::ok("clock", format!("the clock says {}", facts.now))
}

#[cfg(test)]
mod tests;
