//! Owns [`Tree`]: the rules between the paths of one component.

use std::collections::HashMap;

use super::{PackPath, fold};

/// Takes the paths of a tree in order and refuses what could not be one tree on every system.
///
/// Memory: one folded path per entry.
#[derive(Debug, Default)]
pub struct Tree {
    /// Folded path to: the path is a directory.
    seen: HashMap<String, Seen>,
    last: Option<Box<str>>,
}

#[derive(Debug)]
struct Seen {
    path: Box<str>,
    dir: bool,
}

/// Two paths that cannot be in one tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Not ascending by bytes, or the same path twice.
    #[error("path `{path}` does not come after `{after}`")]
    Order {
        /// The path.
        path: String,
        /// The one before it.
        after: String,
    },
    /// Its directory was not named before it.
    #[error("path `{path}` has no directory `{parent}` before it")]
    NoParent {
        /// The path.
        path: String,
        /// What is missing.
        parent: String,
    },
    /// Some file system would take both for the same name.
    #[error("paths `{path}` and `{other}` are the same name on some systems")]
    Collision {
        /// The path.
        path: String,
        /// The earlier one.
        other: String,
    },
}

impl Tree {
    /// Starts without paths.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next path; `dir` says whether others may be below it.
    pub fn add(&mut self, path: &PackPath, dir: bool) -> Result<(), TreeError> {
        if let Some(last) = &self.last
            && **last >= **path
        {
            return Err(TreeError::Order {
                path: path.to_string(),
                after: last.to_string(),
            });
        }
        if let Some(parent) = path.parent()
            && !self
                .seen
                .get(&fold(parent))
                .is_some_and(|seen| seen.dir && *seen.path == *parent)
        {
            return Err(TreeError::NoParent {
                path: path.to_string(),
                parent: parent.to_owned(),
            });
        }
        let seen = Seen {
            path: path.as_str().into(),
            dir,
        };
        if let Some(other) = self.seen.insert(fold(path), seen) {
            return Err(TreeError::Collision {
                path: path.to_string(),
                other: other.path.into(),
            });
        }
        self.last = Some(path.as_str().into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::PackPath, Tree, TreeError};

    fn build(paths: &[&str]) -> Result<(), TreeError> {
        let mut tree = Tree::new();
        paths.iter().try_for_each(|p| {
            let path = PackPath::new(p.trim_end_matches('+')).unwrap();
            tree.add(&path, p.ends_with('+'))
        })
    }

    #[test]
    fn a_tree_is_sorted_has_parents_and_no_names_that_collide() {
        assert_eq!(build(&["a+", "a-b", "a/b+", "a/b/c", "b"]), Ok(()));
        assert!(matches!(build(&["b", "a"]), Err(TreeError::Order { .. })));
        assert!(matches!(build(&["a", "a"]), Err(TreeError::Order { .. })));
        assert!(matches!(build(&["a/b"]), Err(TreeError::NoParent { .. })));
        assert!(
            matches!(build(&["a", "a/b"]), Err(TreeError::NoParent { .. })),
            "a file is never a parent"
        );
        for pair in [["A", "a"], ["STRASSE", "straße"], ["K", "\u{ff4b}"], ["e", "\u{ff45}"]] {
            assert!(matches!(build(&pair), Err(TreeError::Collision { .. })), "{pair:?}");
        }
        assert!(matches!(
            build(&["Lib+", "Lib/a", "lib/b"]),
            Err(TreeError::NoParent { .. })
        ));
    }
}
