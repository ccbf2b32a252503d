//! Owns [`Target`]: the system a pack is for, as file names and manifests carry it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Os {
    /// Linux, any distribution.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

/// Instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Os {
    /// Every system, in the order of the names.
    pub const ALL: [Self; 3] = [Self::Linux, Self::Macos, Self::Windows];

    /// `linux`, `macos` or `windows`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Macos => "macos",
            Self::Windows => "windows",
        }
    }
}

impl Arch {
    /// Every instruction set.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// `x86_64` or `aarch64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// The system a pack or component is for; text form `<os>-<arch>` or `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The bytes are the same everywhere.
    Any,
    /// One operating system on one instruction set.
    On {
        /// Operating system.
        os: Os,
        /// Instruction set.
        arch: Arch,
    },
}

impl Target {
    /// The system this program was built for; [`Target::Any`] if no pack names it, so that only portable packs fit.
    pub fn host() -> Self {
        let name = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        name.parse().unwrap_or(Self::Any)
    }

    /// Operating system, `None` for `any`.
    pub const fn os(self) -> Option<Os> {
        match self {
            Self::Any => None,
            Self::On { os, .. } => Some(os),
        }
    }

    /// Instruction set, `None` for `any`.
    pub const fn arch(self) -> Option<Arch> {
        match self {
            Self::Any => None,
            Self::On { arch, .. } => Some(arch),
        }
    }

    /// True if something made for `self` runs on `system`.
    pub fn runs_on(self, system: Self) -> bool {
        self == Self::Any || self == system
    }

    /// Every target that names a system.
    pub fn all() -> impl Iterator<Item = Self> {
        Os::ALL
            .into_iter()
            .flat_map(|os| Arch::ALL.into_iter().map(move |arch| Self::On { os, arch }))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::On { os, arch } => write!(f, "{}-{}", os.name(), arch.name()),
        }
    }
}

/// The text names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no target, expected `any` or `<os>-<arch>` with linux, macos, windows and x86_64, aarch64", .0.escape_debug())]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        std::iter::once(Self::Any)
            .chain(Self::all())
            .find(|target| target.to_string() == text)
            .ok_or_else(|| TargetError(text.chars().take(80).collect()))
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn names_round_trip_and_portable_things_run_everywhere() {
        for target in Target::all().chain([Target::Any]) {
            assert_eq!(target.to_string().parse(), Ok(target));
            assert!(Target::Any.runs_on(target));
        }
        let linux: Target = "linux-x86_64".parse().unwrap();
        assert!(!linux.runs_on("linux-aarch64".parse().unwrap()));
        assert!(!linux.runs_on(Target::Any));
        for bad in ["", "linux", "Linux-x86_64", "linux-amd64", "any ", "linux-x86_64-gnu"] {
            assert!(bad.parse::<Target>().is_err(), "`{bad}` must be refused");
        }
    }
}
