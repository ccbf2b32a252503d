//! Owns forging: what a publisher's key can sign and a medium can hold, made with stock tools only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kojibox_signing::Digest;
use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher};

/// Bytes that do not compress, the same every time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[5]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(Failure::doing(format!("could not read `{}`", path.display())))
}

/// Writes a file in place of another.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Outcome {
    fs::write(path, bytes).map_err(Failure::doing(format!("could not write `{}`", path.display())))
}

/// Flips one bit of the byte at `at`, does `work`, and puts the byte back.
pub(crate) fn with_flipped(path: &Path, at: usize, work: impl FnOnce() -> Outcome) -> Outcome {
    let bytes = read(path)?;
    let mut flipped = bytes.clone();
    flipped[at] ^= 1;
    write(path, &flipped)?;
    let done = work().map_err(|failure| failure.with(&format!("byte {at} of `{}` was flipped", path.display())));
    write(path, &bytes)?;
    done
}

/// A published pack whose signed documents can be changed and signed again with the publisher's own key.
pub(crate) struct Forge<'a> {
    sandbox: &'a Sandbox,
    pub(crate) publisher: Publisher<'a>,
}

impl<'a> Forge<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox) -> Outcome<Self> {
        Ok(Self {
            sandbox,
            publisher: crate::published(sandbox)?,
        })
    }

    /// Changes the manifest's text and signs it again.
    pub(crate) fn manifest(&self, change: impl FnOnce(String) -> String) -> Outcome {
        let path = self.publisher.manifest("tree", "1.0.0");
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let changed = change(text.clone());
        ensure(changed != text, || "the forgery changes nothing".into())?;
        write(&path, changed)?;
        self.sign(&path)
    }

    /// Changes the decoded index of the component `tree`, and everything signed that hashes it.
    pub(crate) fn index(&self, change: impl FnOnce(String) -> String) -> Outcome {
        let path = self.publisher.depot_file("blobs", "tree-1.0.0-", ".idx.zst")?;
        let old = read(&path)?;
        let raw = self
            .sandbox
            .run("/usr/bin/zstd")
            .args(["-q", "-dc"])
            .arg(&path)
            .answer()?
            .stdout;
        let changed = change(raw.clone());
        ensure(changed != raw, || "the forgery changes nothing".into())?;
        let plain = self.sandbox.write("forged.idx", &changed)?;
        let packed = self.sandbox.path("forged.idx.zst");
        self.sandbox
            .run("/usr/bin/zstd")
            .args(["-q", "-f", "--check", "--content-size", "-o"])
            .arg(&packed)
            .arg(&plain)
            .go()?;
        let new = read(&packed)?;
        write(&path, &new)?;
        self.manifest(|text| {
            let at = text.find(&Digest::of(&old).to_string()).unwrap_or_default();
            let start = text[..at].rfind("\"index\"").unwrap_or_default();
            let (head, tail) = text.split_at(start);
            let tail = tail.replacen(&Digest::of(&old).to_string(), &Digest::of(&new).to_string(), 1);
            let tail = tail.replacen(
                &format!("\"size\": {}", old.len()),
                &format!("\"size\": {}", new.len()),
                1,
            );
            let raw_size = |len: usize| format!("\"raw_size\": {len}");
            format!(
                "{head}{}",
                tail.replacen(&raw_size(raw.len()), &raw_size(changed.len()), 1)
            )
        })
    }

    /// Signs `path` with stock `ssh-keygen`, in place of the signature that is there.
    fn sign(&self, path: &Path) -> Outcome {
        let signature = self.signature()?;
        let run = self
            .sandbox
            .run("/usr/bin/ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", "kojibox-pack@v1", "-f"]);
        run.arg(self.publisher.dir("keys/pack")).arg(path).go()?;
        let made = PathBuf::from(format!("{}.sig", path.display()));
        fs::rename(&made, signature).map_err(Failure::doing("could not place a signature"))
    }

    /// The signature beside the manifest.
    pub(crate) fn signature(&self) -> Outcome<PathBuf> {
        self.publisher.depot_file("packs", "tree-1.0.0-", ".sshsig")
    }
}
