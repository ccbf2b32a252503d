//! Owns `stack.lock`: what a build is pinned to.
