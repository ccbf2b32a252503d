//! Owns the choice of a pack: by name, version and channel, the newest that fits.

use std::{cmp::Reverse, fmt, str::FromStr};

use kojibox_packs::manifest::Manifest;

use crate::answers::or_nearest;

/// `name` or `name@version`, as a person asks for a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// Pack id.
    pub name: String,
    /// Exactly this version; else the newest of the channel.
    pub version: Option<String>,
}

impl FromStr for Want {
    type Err = PackError;

    fn from_str(text: &str) -> Result<Self, PackError> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        let good = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.+_".contains(&b))
        };
        if good(name) && version.as_deref().is_none_or(good) {
            return Ok(Self {
                name: name.to_owned(),
                version,
            });
        }
        Err(PackError::NotAName(text.to_owned()))
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// No pack fits what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The text cannot be a pack.
    #[error("`{0}` is no pack, expected `name` or `name@version`")]
    NotAName(String),
    /// The medium has no pack of this name for this system.
    #[error("the medium has no pack `{name}` for this system{suggestion}")]
    NoSuchPack {
        /// What was asked for.
        name: String,
        /// What there is.
        suggestion: String,
    },
    /// The pack is there, this version is not.
    #[error("the medium has no version {version} of pack `{name}`, it has {}", there.join(", "))]
    NoSuchVersion {
        /// Pack id.
        name: String,
        /// What was asked for.
        version: String,
        /// Versions on the medium.
        there: Vec<String>,
    },
    /// The pack is there, but not on this channel.
    #[error("the medium has pack `{name}` on {}, not on channel `{channel}`", there.join(", "))]
    NoSuchChannel {
        /// Pack id.
        name: String,
        /// What was asked for, or the channel of the installed pack.
        channel: String,
        /// Channels on the medium.
        there: Vec<String>,
    },
}

/// The pack that `want` means among `there`: the position of the newest that fits.
///
/// Without a version the channel decides: the one asked for, else that of the installed pack, else `stable`, else the
/// only one there is.
pub(crate) fn choose(
    there: &[&Manifest],
    want: &Want,
    channel: Option<&str>,
    installed_channel: Option<&str>,
) -> Result<usize, PackError> {
    let mut named = named(there, want)?;
    if let Some(version) = &want.version {
        let versions = named.iter().map(|&i| there[i].version.clone()).collect();
        named.retain(|&i| there[i].version == *version);
        return newest(there, &named).ok_or_else(|| PackError::NoSuchVersion {
            name: want.name.clone(),
            version: version.clone(),
            there: versions,
        });
    }
    let mut channels: Vec<_> = named.iter().map(|&i| there[i].channel.as_str()).collect();
    channels.sort_unstable();
    channels.dedup();
    let only = if channels.len() == 1 { channels[0] } else { "stable" };
    let channel = channel.or(installed_channel).unwrap_or(only);
    let on_channel: Vec<_> = named.iter().copied().filter(|&i| there[i].channel == channel).collect();
    newest(there, &on_channel).ok_or_else(|| PackError::NoSuchChannel {
        name: want.name.clone(),
        channel: channel.to_owned(),
        there: channels.into_iter().map(|c| format!("`{c}`")).collect(),
    })
}

/// The newer release of an installed pack, if `there` has one; a medium without the pack is no error.
pub(crate) fn choose_update(there: &[&Manifest], installed: &Manifest, channel: Option<&str>) -> Option<usize> {
    let want = Want {
        name: installed.pack.clone(),
        version: None,
    };
    let at = choose(there, &want, channel, Some(&installed.channel)).ok()?;
    (there[at].sequence > installed.sequence).then_some(at)
}

fn named(there: &[&Manifest], want: &Want) -> Result<Vec<usize>, PackError> {
    let named: Vec<_> = (0..there.len()).filter(|&i| there[i].pack == want.name).collect();
    if named.is_empty() {
        let mut known: Vec<_> = there.iter().map(|m| m.pack.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        return Err(PackError::NoSuchPack {
            name: want.name.clone(),
            suggestion: or_nearest(&want.name, &known),
        });
    }
    Ok(named)
}

/// Highest sequence wins; a pack for this system beats a portable one of the same release; then the first source.
fn newest(there: &[&Manifest], among: &[usize]) -> Option<usize> {
    let rank = |&i: &usize| (there[i].sequence, there[i].target != "any", Reverse(i));
    among.iter().copied().max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::{Want, choose, choose_update};
    use crate::testing::manifest;

    fn want(text: &str) -> Want {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_of_the_channel_is_meant() {
        let (one, two) = (manifest("edge", "1.0.0", 10), manifest("edge", "2.0.0", 20));
        let mut beta = manifest("edge", "3.0.0-rc.1", 29);
        beta.channel = "beta".to_owned();
        let there = [&two, &one, &beta];
        assert_eq!(choose(&there, &want("edge"), None, None), Ok(0));
        assert_eq!(choose(&there, &want("edge"), Some("beta"), None), Ok(2));
        assert_eq!(choose(&there, &want("edge"), None, Some("beta")), Ok(2));
        assert_eq!(choose(&there, &want("edge@1.0.0"), None, None), Ok(1));
        assert_eq!(choose(&[&beta], &want("edge"), None, None), Ok(0));
        assert_eq!(choose_update(&there, &one, None), Some(0));
        assert_eq!(choose_update(&there, &two, None), None);
        assert_eq!(choose_update(&there, &manifest("other", "1.0.0", 1), None), None);
    }

    #[test]
    fn this_system_beats_portable_and_the_first_source_beats_later_ones() {
        let mut any = manifest("edge", "1.0.0", 10);
        any.target = "any".to_owned();
        let ours = manifest("edge", "1.0.0", 10);
        assert_eq!(choose(&[&any, &ours, &ours], &want("edge"), None, None), Ok(1));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let one = manifest("edge", "1.0.0", 10);
        let told = |text: &str, channel| choose(&[&one], &want(text), channel, None).unwrap_err().to_string();
        insta::assert_snapshot!(told("egde", None), @"the medium has no pack `egde` for this system, did you mean `edge`?");
        insta::assert_snapshot!(told("workflow", None), @"the medium has no pack `workflow` for this system, expected one of `edge`");
        insta::assert_snapshot!(told("edge@9.0.0", None), @"the medium has no version 9.0.0 of pack `edge`, it has 1.0.0");
        insta::assert_snapshot!(told("edge", Some("beta")), @"the medium has pack `edge` on `stable`, not on channel `beta`");
        for bad in ["", "@1", "edge@", "../edge", "Edge", "a b"] {
            assert!(bad.parse::<Want>().is_err(), "`{bad}` is no pack");
        }
    }
}
