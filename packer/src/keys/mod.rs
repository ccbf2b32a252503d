//! Owns OpenSSH private key files.
