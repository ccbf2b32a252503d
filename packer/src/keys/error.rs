//! Owns what can go wrong with keys, signatures and trust files on disk, and how it is told.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Report};
use kojibox_signing::{Refusal, root::RootError, sshsig::SshSigError};

/// Why a key, a signature or a trust root could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system said no.
    #[error("could not {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is there already, with other content.
    #[error("could not write `{}`: a file of this name exists", .0.display())]
    Exists(PathBuf),
    /// Longer than any such file.
    #[error("could not read `{}`: it has more than {limit} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Longest that is read.
        limit: u64,
    },
    /// Others can read it.
    #[error("could not use key `{}`: others may read it, its mode is {mode:04o}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not an OpenSSH private key of type Ed25519.
    #[error("could not read key `{}`", path.display())]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ssh_key::Error,
    },
    /// A key of another type.
    #[error("could not use key `{}`: it is of type `{kind}`, expected `ssh-ed25519`", path.display())]
    OtherType {
        /// Which file.
        path: PathBuf,
        /// As it says.
        kind: String,
    },
    /// Not a public key.
    #[error("could not read public key `{}`", path.display())]
    NotAPublicKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: kojibox_signing::KeyError,
    },
    /// The passphrase does not open the key.
    #[error("could not open key `{}`: the passphrase is wrong", .0.display())]
    WrongPassphrase(PathBuf),
    /// There is nobody to ask for it.
    #[error("could not open key `{}`: it is encrypted, and there is no terminal to ask for the passphrase", .0.display())]
    NoPassphrase(PathBuf),
    /// The halves of the key are not of one key.
    #[error("could not use key `{}`: its private and public halves do not belong together", .0.display())]
    Halves(PathBuf),
    /// The system gave no random numbers.
    #[error("could not make a key: the system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// One key given twice, or one key for two purposes.
    #[error("could not use key `{}`: it was given twice", .0.display())]
    Twice(PathBuf),
    /// The rules of trust roots forbid it.
    #[error("could not use trust root `{}`", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// Which rule.
        #[source]
        source: RootError,
    },
    /// The rules of trust roots forbid the change.
    #[error("could not change the trust root in `{}`", path.display())]
    Change {
        /// The draft.
        path: PathBuf,
        /// Which rule.
        #[source]
        source: RootError,
    },
    /// Only a piece of the chain is there.
    #[error("could not use trust root `{}`: it is version {version}, and the versions before it are not beside it", path.display())]
    ChainStart {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Version N beside the chain is another one.
    #[error("could not use trust root `{}`: it is not version {version} of the chain beside it", path.display())]
    OtherChain {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// There is nothing to sign.
    #[error("could not find the draft of the next trust root `{}`", .0.display())]
    NoDraft(PathBuf),
    /// The chain went on without it.
    #[error("could not use draft `{}`: it is for version {got}, the next is {expected}", path.display())]
    StaleDraft {
        /// Which file.
        path: PathBuf,
        /// Its version.
        got: u64,
        /// One more than the chain has.
        expected: u64,
    },
    /// No such manifest, or a file that is none.
    #[error("could not find pack `{pack}` in depot `{}`", depot.display())]
    NoPack {
        /// As asked for.
        pack: String,
        /// Where.
        depot: PathBuf,
    },
    /// It does not open with the manifest schema.
    #[error("could not sign `{}`: it is no manifest of a pack", .0.display())]
    NotAManifest(PathBuf),
    /// The signature cannot be read.
    #[error("could not attach signature `{}`", path.display())]
    Signature {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: SshSigError,
    },
    /// It is over something else.
    #[error("could not attach signature `{}`: it fits no manifest of pack `{pack}` as `{namespace}`", path.display())]
    FitsNothing {
        /// Which file.
        path: PathBuf,
        /// As asked for.
        pack: String,
        /// Its purpose.
        namespace: kojibox_signing::Namespace,
    },
}

impl KeyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::FileSystem,
            Self::Random(_) => Exit::Unexpected,
            Self::Root { source, .. } => match source.refusal() {
                Refusal::Unsigned => Exit::Refused,
                Refusal::Damaged => Exit::Damaged,
                Refusal::TooNew => Exit::FormatTooNew,
                Refusal::Replay => Exit::Downgrade,
                Refusal::Malformed => Exit::Malformed,
            },
            Self::Signature { .. } | Self::FitsNothing { .. } => Exit::Refused,
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Exists(_) => "choose another name or folder, or move that file away first".to_owned(),
            Self::Open { path, .. } => format!("run `chmod 600 {}`", path.display()),
            Self::OtherType { .. } | Self::NotAKey { .. } => {
                "make one with `kojibox-packer key generate` or `ssh-keygen -t ed25519`".to_owned()
            }
            Self::NotAPublicKey { .. } => "give the `.pub` file of the key".to_owned(),
            Self::NoPassphrase(_) => format!("set the environment variable `{}`", super::PASSPHRASE_VAR),
            Self::ChainStart { .. } => {
                "keep `root.json` (or `1.root.json`), `2.root.json` and so on in one folder".to_owned()
            }
            Self::NoDraft(_) => {
                "start one with `kojibox-packer trust add-key`, `remove-key`, `threshold` or `rotate`".to_owned()
            }
            Self::StaleDraft { path, .. } => format!("remove `{}` and make the change again", path.display()),
            Self::NoPack { pack, .. } if Path::new(pack).extension().is_some_and(|end| end == "kpack") => {
                "sign the pack in its depot, then make the file again with `kojibox-packer export`".to_owned()
            }
            Self::NoPack { depot, .. } => format!("list `{}` for what is there", depot.join("packs").display()),
            Self::Change { source, .. } => return advice(source).map(str::to_owned),
            _ => return None,
        })
    }
}

/// What helps against a broken rule.
fn advice(rule: &RootError) -> Option<&'static str> {
    match rule {
        RootError::Threshold { .. } => {
            Some("add the new key first (`trust add-key`), or change the threshold (`trust threshold`)")
        }
        RootError::SharedKey { .. } => {
            Some("make a key of its own for each purpose with `kojibox-packer key generate`")
        }
        RootError::NotARootKey(_) => Some("run `kojibox-packer trust show` for the keys that may sign"),
        _ => None,
    }
}

impl From<KeyError> for Report {
    fn from(error: KeyError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        let report = Self::new(exit, error);
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}
