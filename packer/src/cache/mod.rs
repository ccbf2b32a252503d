//! Owns the content-addressed download cache.
