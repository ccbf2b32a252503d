//! Integration tests of the packer, all in one binary.
