//! Owns how hard a blob is compressed: presets and levels, and what follows from them.

use clap::ValueEnum;

/// How much time is given to compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Level 3: for trying things out.
    Fast,
    /// Level 9: for most packs.
    #[default]
    Balanced,
    /// Level 19 in frames of 64 MiB: the smallest packs, more memory to install.
    Small,
}

/// Level and frames of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Level of zstd, 1 to 22.
    pub level: i32,
    /// Largest raw frame in bytes.
    pub frame_max: u64,
}

const MIB: u64 = 1 << 20;

impl From<Preset> for Effort {
    fn from(preset: Preset) -> Self {
        let (level, frame_max) = match preset {
            Preset::Fast => (3, 8 * MIB),
            Preset::Balanced => (9, 8 * MIB),
            Preset::Small => (19, 64 * MIB),
        };
        Self { level, frame_max }
    }
}

impl Effort {
    /// A level with frames of the usual size.
    pub fn level(level: i32) -> Self {
        Self {
            level,
            ..Preset::Balanced.into()
        }
    }

    /// The window that sees a whole frame, as a power of two.
    pub fn window_log(&self) -> u32 {
        self.frame_max.next_power_of_two().ilog2()
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Preset};

    #[test]
    fn the_window_sees_a_whole_frame_and_every_decoder_takes_it() {
        for preset in [Preset::Fast, Preset::Balanced, Preset::Small] {
            let effort = Effort::from(preset);
            assert_eq!(1 << effort.window_log(), effort.frame_max);
            assert!(effort.window_log() <= 27);
        }
        assert_eq!(Effort::level(22).frame_max, 8 << 20);
    }
}
