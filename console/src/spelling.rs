//! Owns [`Spelling`]: how our commands are typed here, so that advice can be typed as it stands.
//!
//! Texts name commands by the programs' names: `` `kojibox-installer recover` ``. The person has the installer on a stick under
//! another name, the launcher in an install root, and every command needs that root.

use std::path::Path;

/// Commands of the installer that work without an install root.
const ROOTLESS: [&str; 4] = ["install", "wizard", "doctor", "--help"];

/// How the programs are called and which install root is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// The installer, as it is typed.
    pub installer: Option<String>,
    /// The launcher, as it is typed.
    pub launcher: Option<String>,
    /// The install root, as it is typed.
    pub root: Option<String>,
}

impl Spelling {
    /// For the install root at `root`, typed by somebody who is in `directory`.
    pub fn of(root: &Path, directory: &Path, installer: Option<String>) -> Self {
        let near = match root.strip_prefix(directory) {
            Ok(below) if below.as_os_str().is_empty() => Path::new("."),
            Ok(below) => below,
            Err(_) => root,
        };
        Self {
            installer,
            launcher: Some(quoted(&near.join(format!("kojibox{}", std::env::consts::EXE_SUFFIX)))),
            root: Some(quoted(near)),
        }
    }

    /// `text` with every command between backticks as it is typed here.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (n, part) in text.split('`').enumerate() {
            if n > 0 {
                out.push('`');
            }
            match self.typed(part).filter(|_| n % 2 == 1) {
                Some(typed) => out.push_str(&typed),
                None => out.push_str(part),
            }
        }
        out
    }

    fn typed(&self, command: &str) -> Option<String> {
        if let Some(rest) = command.strip_prefix("kojibox-installer ") {
            let program = self.installer.as_deref().unwrap_or("kojibox-installer");
            let verb = rest.split(' ').next().unwrap_or_default();
            let Some(root) = self
                .root
                .as_ref()
                .filter(|_| !ROOTLESS.contains(&verb) && !rest.contains("--root"))
            else {
                return Some(format!("{program} {rest}"));
            };
            return Some(match rest.split_once(" --") {
                Some((words, options)) => format!("{program} {words} --root {root} --{options}"),
                None => format!("{program} {rest} --root {root}"),
            });
        }
        let rest = command.strip_prefix("kojibox ")?;
        Some(format!("{} {rest}", self.launcher.as_deref()?))
    }
}

/// A path as a shell takes it: plain, between double quotes, as every system's shell has them, or between single ones where
/// something would be read inside double ones.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./:\\+@%,~=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else if text.contains(['"', '$', '`', '!']) {
        format!("'{}'", text.replace('\'', "'\\''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Spelling, quoted};

    #[test]
    fn commands_are_told_as_they_are_typed_and_the_rest_stays() {
        let here = Spelling {
            installer: Some("stick/install-linux-x86_64".to_owned()),
            launcher: Some("'my root/kojibox'".to_owned()),
            root: Some("'my root'".to_owned()),
        };
        for (text, typed) in [
            (
                "run `kojibox-installer recover`",
                "run `stick/install-linux-x86_64 recover --root 'my root'`",
            ),
            (
                "run `kojibox-installer prune --keep 1`, or wait",
                "run `stick/install-linux-x86_64 prune --root 'my root' --keep 1`, or wait",
            ),
            (
                "use `kojibox-installer install --root DIR --yes`",
                "use `stick/install-linux-x86_64 install --root DIR --yes`",
            ),
            (
                "read `kojibox logs`; `state/journal` stays",
                "read `'my root/kojibox' logs`; `state/journal` stays",
            ),
            (
                "`kojibox-installer` and kojibox logs",
                "`kojibox-installer` and kojibox logs",
            ),
        ] {
            assert_eq!(here.apply(text), typed);
        }
        let nowhere = Spelling::default();
        for text in ["run `kojibox up`", "run `kojibox-installer verify`, `", "no command"] {
            assert_eq!(nowhere.apply(text), text);
        }
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        for (path, typed) in [
            ("/a/b-1.0", "/a/b-1.0"),
            ("/a b", "\"/a b\""),
            ("it's", "\"it's\""),
            ("$HOME's", "'$HOME'\\''s'"),
        ] {
            assert_eq!(quoted(Path::new(path)), typed);
        }
    }
}
