//! Owns environments: an allow-listed one for services, the local `PATH` for a person's commands. Nothing global changes.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{
    fill::{FillError, Filler, Place, path},
    platform,
    stack::Stack,
};

/// What is kept of the environment the launcher was started in; everything else stays outside of services.
pub fn allowed(outside: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let kept = |name: &str| platform::ALLOWED_ENV.iter().any(|a| a.eq_ignore_ascii_case(name));
    outside.into_iter().filter(|(name, _)| kept(name)).collect()
}

/// The environment of one service: what is allowed, its own places, what it declares.
pub(crate) fn of_service(
    filler: &Filler<'_>,
    declared: &BTreeMap<String, String>,
    allowed: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, FillError> {
    let mut env = allowed.clone();
    let own = filler.dir("component").map(|tree| tree.join("bin"));
    env.insert(
        "PATH".to_owned(),
        joined(own.iter().chain(&platform::system_path()).map(PathBuf::as_path))?,
    );
    let temp = filler.dir("temp").unwrap_or_default();
    for name in ["TMPDIR", "TEMP", "TMP"] {
        env.insert(name.to_owned(), path(&temp)?);
    }
    env.insert("KOJIBOX_SERVICE".to_owned(), filler.service.to_owned());
    for (name, value) in declared {
        env.insert(name.clone(), filler.fill(value, Place::Environment)?);
    }
    Ok(env)
}

/// What `exec` and `env` add to a person's environment: programs of the install first, its places and ports.
pub fn for_person(
    stack: &Stack,
    ports: &BTreeMap<String, u16>,
    outside_path: Option<&OsStr>,
) -> Result<BTreeMap<String, String>, FillError> {
    let dirs = stack.program_dirs();
    let outside: Vec<PathBuf> = outside_path.map(env::split_paths).into_iter().flatten().collect();
    let mut out = BTreeMap::from([
        ("KOJIBOX_ROOT".to_owned(), path(stack.layout.root())?),
        (
            "PATH".to_owned(),
            joined(dirs.iter().chain(&outside).map(PathBuf::as_path))?,
        ),
    ]);
    for (key, port) in ports {
        let name = key.to_ascii_uppercase().replace(['-', '.'], "_");
        out.insert(format!("KOJIBOX_PORT_{name}"), port.to_string());
    }
    Ok(out)
}

fn joined<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<String, FillError> {
    let dirs: Vec<&Path> = dirs.collect();
    let first = dirs.first().map(|d| d.to_path_buf()).unwrap_or_default();
    let joined = env::join_paths(dirs).map_err(|_| FillError::NotText(first))?;
    joined.into_string().map_err(|s| FillError::NotText(PathBuf::from(s)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_is_allowed_comes_in() {
        let outside = [
            ("HOME", "/h"),
            ("LD_PRELOAD", "x.so"),
            ("PGPASSWORD", "p"),
            ("PATH", "/evil"),
            ("NODE_OPTIONS", "-r x"),
        ];
        let kept = super::allowed(outside.map(|(k, v)| (k.to_owned(), v.to_owned())));
        for name in ["LD_PRELOAD", "PGPASSWORD", "PATH", "NODE_OPTIONS"] {
            assert!(!kept.contains_key(name), "{name}");
        }
    }
}
