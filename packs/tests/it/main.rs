//! The format from outside: what is written can be read, by Kojibox and by stock tools, and nothing else can.

mod fixture;
mod roundtrip;
