//! Owns private keys in memory and as OpenSSH files, which `ssh-keygen` and `ssh-agent` take as their own.
//!
//! Shape: `openssh-key-v1`; encrypted with `aes256-ctr` under `bcrypt` of 24 rounds, which is what OpenSSH writes.
//! Limitations: other ciphers are read as far as the crate `ssh-key` knows them.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signer as _, SigningKey};
use kojibox_signing::{PublicKey, Signer};
use ssh_key::{
    Cipher, Kdf, LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
    public::KeyData,
};
use zeroize::Zeroizing;

use super::{
    KeyError,
    files::{self, LIMIT, Readers},
    platform,
};

const ROUNDS: u32 = 24;

/// A private key, ready to sign. Wiped when dropped.
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
    comment: String,
}

impl SecretKey {
    /// Makes a new key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`] if the system has none.
    pub fn generate(comment: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(KeyError::Random)?;
        Ok(Self::new(SigningKey::from_bytes(&seed), comment))
    }

    fn new(key: SigningKey, comment: &str) -> Self {
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes());
        let public = public.expect("a public key made from a private one is never weak");
        Self {
            key,
            public,
            comment: comment.to_owned(),
        }
    }

    /// What the key file calls itself.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The three files that [`Self::write`] makes.
    pub fn files(dir: &Path, name: &str) -> [PathBuf; 3] {
        ["", ".pub", ".pem"].map(|suffix| dir.join(format!("{name}{suffix}")))
    }

    /// Writes `NAME` (mode 0600), `NAME.pub` and `NAME.pem` into `dir`, which is made. None of them may exist.
    ///
    /// # Errors
    /// [`KeyError::Exists`] before anything is written; [`KeyError::Io`].
    pub fn write(&self, dir: &Path, name: &str, passphrase: Option<&str>) -> Result<(), KeyError> {
        let [private, public, pem] = Self::files(dir, name);
        files::must_be_free(&[private.clone(), public.clone(), pem.clone()])?;
        let text = self.to_openssh(&private, passphrase)?;
        files::make_dir(dir)?;
        files::write_new(&private, text.as_bytes(), Readers::Owner)?;
        let line = format!("{}\n", self.public.to_openssh(&self.comment));
        files::write_new(&public, line.as_bytes(), Readers::Anyone)?;
        files::write_new(&pem, self.public.to_pem().as_bytes(), Readers::Anyone)
    }

    fn to_openssh(&self, path: &Path, passphrase: Option<&str>) -> Result<Zeroizing<String>, KeyError> {
        let error = |source| KeyError::NotAKey {
            path: path.to_owned(),
            source,
        };
        let pair = Ed25519Keypair::try_from(&self.key.to_keypair_bytes()[..]).map_err(error)?;
        let mut key = PrivateKey::new(KeypairData::Ed25519(pair), self.comment.as_str()).map_err(error)?;
        if let Some(passphrase) = passphrase {
            let mut salt = vec![0; 16];
            getrandom::fill(&mut salt).map_err(KeyError::Random)?;
            let check = getrandom::u32().map_err(KeyError::Random)?;
            let kdf = Kdf::Bcrypt { salt, rounds: ROUNDS };
            key = key
                .encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase)
                .map_err(error)?;
        }
        key.to_openssh(LineEnding::LF).map_err(error)
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.fingerprint())
    }
}

/// A private key file as read, perhaps still locked by its passphrase.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    key: PrivateKey,
}

impl KeyFile {
    /// Reads a key file that only its owner may read.
    ///
    /// # Errors
    /// [`KeyError::Open`] if others may read it; anything that makes it no Ed25519 key in OpenSSH's form.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(files::io_error("open key", path))?;
        let bytes = files::read_open(
            file.try_clone().map_err(files::io_error("open key", path))?,
            path,
            LIMIT,
        )?;
        let key = Self::parse(path, &bytes)?;
        match platform::others_may_read(&file).map_err(files::io_error("look at key", path))? {
            Some(mode) => Err(KeyError::Open {
                path: path.to_owned(),
                mode,
            }),
            None => Ok(key),
        }
    }

    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(bytes).map_err(|source| KeyError::NotAKey {
            path: path.to_owned(),
            source,
        })?;
        let kind = key.algorithm();
        if kind != ssh_key::Algorithm::Ed25519 {
            return Err(KeyError::OtherType {
                path: path.to_owned(),
                kind: kind.to_string(),
            });
        }
        let path = path.to_owned();
        Ok(Self { path, key })
    }

    /// True if a passphrase is needed.
    pub fn is_locked(&self) -> bool {
        self.key.is_encrypted()
    }

    /// What the key file calls itself; empty while it is locked.
    pub fn comment(&self) -> &str {
        self.key.comment()
    }

    /// The public half, which is never locked.
    ///
    /// # Errors
    /// [`KeyError::NotAPublicKey`] if it is weak or no point.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let bytes = match self.key.public_key().key_data() {
            KeyData::Ed25519(key) => &key.0,
            _ => &[0; 32],
        };
        PublicKey::from_bytes(bytes).map_err(|source| KeyError::NotAPublicKey {
            path: self.path.clone(),
            source,
        })
    }

    /// The private key of a file that is not locked.
    ///
    /// # Errors
    /// [`KeyError::NoPassphrase`] if it is.
    pub fn open(&self) -> Result<SecretKey, KeyError> {
        self.secret(&self.key)
    }

    /// The private key of a locked file.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], or a cipher that is not known.
    pub fn unlock(&self, passphrase: &str) -> Result<SecretKey, KeyError> {
        let key = self.key.decrypt(passphrase).map_err(|source| match source {
            ssh_key::Error::Crypto => KeyError::WrongPassphrase(self.path.clone()),
            source => KeyError::NotAKey {
                path: self.path.clone(),
                source,
            },
        })?;
        self.secret(&key)
    }

    fn secret(&self, key: &PrivateKey) -> Result<SecretKey, KeyError> {
        let KeypairData::Ed25519(pair) = key.key_data() else {
            return Err(KeyError::NoPassphrase(self.path.clone()));
        };
        let seed = Zeroizing::new(pair.private.to_bytes());
        let secret = SecretKey::new(SigningKey::from_bytes(&seed), key.comment());
        // A file with a foreign public half would make signatures that give the private one away.
        if secret.public != self.public_key()? || pair.public.0 != *secret.public.as_bytes() {
            return Err(KeyError::Halves(self.path.clone()));
        }
        Ok(secret)
    }
}
