//! Owns the output flags that every command of every program takes.

use clap::{Args, ValueEnum};

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutputArgs {
    /// Say nothing but errors and the answer itself
    #[arg(short, long, global = true, help_heading = "Output", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; repeat for details
    #[arg(short, long, global = true, help_heading = "Output", action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress bars; plain lines instead
    #[arg(long, global = true, help_heading = "Output")]
    pub no_progress: bool,
    /// When to use colour (`NO_COLOR` is honoured)
    #[arg(long, global = true, help_heading = "Output", value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
