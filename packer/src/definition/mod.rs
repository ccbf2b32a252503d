//! Owns `stack.toml`: what a builder writes, checked with positions.
