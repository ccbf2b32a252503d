//! Owns the next version of a trust root while it collects signatures: `N.root.draft.json` beside the chain.
//!
//! A draft may be changed as long as it is one, which drops its signatures. Once every threshold is met it becomes
//! `N.root.json`, which nothing changes any more.

use std::fs;

use kojibox_signing::{
    UtcTime,
    root::{Progress, RootBuilder, RootError},
};

use super::{
    KeyError, SecretKey, TrustChain,
    files::{self, Readers},
};

/// A draft with the chain it goes on from.
#[derive(Debug)]
pub struct Draft {
    chain: TrustChain,
    builder: RootBuilder,
}

/// What became of a draft.
#[derive(Debug)]
pub enum Saved {
    /// It is the next version of the chain.
    Published(TrustChain),
    /// Signatures are missing, for the root before or its own.
    Waiting(TrustChain, Vec<Progress>),
}

impl Draft {
    /// Takes up the draft beside the chain, or starts one with these times.
    ///
    /// # Errors
    /// [`KeyError`] if the draft is broken or of another version.
    pub fn take_up(chain: TrustChain, issued: UtcTime, expires: UtcTime) -> Result<Self, KeyError> {
        if chain.draft_file().is_file() {
            return Self::open(chain);
        }
        let builder = RootBuilder::after(chain.current(), issued, expires);
        Ok(Self { chain, builder })
    }

    /// Takes up the draft beside the chain.
    ///
    /// # Errors
    /// [`KeyError::NoDraft`] if there is none.
    pub fn open(chain: TrustChain) -> Result<Self, KeyError> {
        let path = chain.draft_file();
        if !path.is_file() {
            return Err(KeyError::NoDraft(path));
        }
        let bytes = files::read(&path, files::LIMIT)?;
        let builder = RootBuilder::from_draft(&bytes).map_err(|source| KeyError::Root {
            path: path.clone(),
            source,
        })?;
        let (got, expected) = (builder.version(), chain.current().version() + 1);
        if got != expected {
            return Err(KeyError::StaleDraft { path, got, expected });
        }
        Ok(Self { chain, builder })
    }

    /// What will be written.
    pub fn root(&self) -> &RootBuilder {
        &self.builder
    }

    /// Makes one change; says how many signatures it dropped.
    ///
    /// # Errors
    /// [`KeyError::Change`] naming the rule that the draft breaks then.
    pub fn change(
        &mut self,
        change: impl FnOnce(&mut RootBuilder) -> Result<(), RootError>,
    ) -> Result<usize, KeyError> {
        let signed = self.signed();
        change(&mut self.builder)
            .and_then(|()| self.builder.to_bytes().map(drop))
            .map_err(|source| self.error(source))?;
        Ok(signed)
    }

    /// Adds signatures.
    ///
    /// # Errors
    /// [`KeyError::Change`] if a key is a root key neither of this version nor of the one before.
    pub fn sign(&mut self, keys: &[SecretKey]) -> Result<(), KeyError> {
        for key in keys {
            let signed = self.builder.sign(key, Some(self.chain.current()));
            signed.map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    /// Who has signed and who may.
    pub fn progress(&self) -> Vec<Progress> {
        self.builder.progress(Some(self.chain.current()))
    }

    /// Publishes the draft if enough have signed, else writes it down as it is.
    ///
    /// # Errors
    /// [`KeyError`]; a published version is never replaced.
    pub fn save(mut self) -> Result<Saved, KeyError> {
        let bytes = self.builder.to_bytes().map_err(|source| self.error(source))?;
        let draft = self.chain.draft_file();
        let progress = self.progress();
        if !progress.iter().all(Progress::is_met) {
            files::replace(&draft, &bytes)?;
            return Ok(Saved::Waiting(self.chain, progress));
        }
        // The verdict is that of every reader, not of this editor.
        let next = self.chain.next_file();
        let mut current = self.chain.current().clone();
        current.advance(&bytes).map_err(|source| self.error(source))?;
        files::write_new(&next, &bytes, Readers::Anyone)?;
        drop(fs::remove_file(draft));
        self.chain = TrustChain::load(&next)?;
        Ok(Saved::Published(self.chain))
    }

    fn signed(&self) -> usize {
        self.progress()
            .iter()
            .map(|progress| progress.signed.len())
            .max()
            .unwrap_or(0)
    }

    fn error(&self, source: RootError) -> KeyError {
        let path = self.chain.draft_file();
        KeyError::Change { path, source }
    }
}
