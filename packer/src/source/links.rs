//! Owns what becomes of symbolic links: inside the tree they stay; on Windows links to files become copies; anything else
//! is refused with its path. A target that a pack cannot hold as it is written (`./x`, `a/../b`) is written anew.

use std::collections::BTreeMap;

use kojibox_packs::path::PackPath;

use super::{
    error::SourceError,
    tree::{Node, Tree},
};

/// Longest chain of links.
const MAX_CHAIN: usize = 40;

/// Checks every link, and on Windows (`as_copies`) replaces them. Says how many links there were.
pub(super) fn settle(tree: &mut Tree, as_copies: bool) -> Result<usize, SourceError> {
    let mut copies = BTreeMap::new();
    let mut rewritten = BTreeMap::new();
    let mut count = 0;
    for (path, node) in tree.iter() {
        let Node::Link { target } = node else { continue };
        count += 1;
        let end = follow(tree, path, target)?;
        if as_copies {
            copies.insert(path.clone(), end);
        } else if PackPath::new(path).is_ok_and(|p| p.check_link(target).is_err()) {
            let target = relative(path, &end);
            rewritten.insert(path.clone(), Node::Link { target });
        }
    }
    for (path, node) in rewritten {
        tree.put(path, node);
    }
    for (path, end) in copies {
        let Some(node @ Node::File { .. }) = tree.get(&end).cloned() else {
            return Err(refused(
                &path,
                format!("it is a link to the folder `{end}`, which Windows targets do not have"),
            ));
        };
        tree.put(path, node);
    }
    Ok(count)
}

fn refused(path: &str, reason: impl Into<String>) -> SourceError {
    SourceError::Entry {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// The way from the folder of the link `from` to `to`.
fn relative(from: &str, to: &str) -> String {
    let folder: Vec<_> = from.split('/').collect();
    let folder = &folder[..folder.len() - 1];
    let to: Vec<_> = to.split('/').collect();
    let common = folder
        .iter()
        .zip(&to[..to.len() - 1])
        .take_while(|(a, b)| a == b)
        .count();
    let up = std::iter::repeat_n("..", folder.len() - common);
    up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join("/")
}

/// The path of the file or folder at the end of the chain.
fn follow(tree: &Tree, path: &str, target: &str) -> Result<String, SourceError> {
    let mut from = path.to_owned();
    let mut target = target.to_owned();
    for _ in 0..MAX_CHAIN {
        let to = join(path, &from, &target)?;
        match walk(tree, &to) {
            Walk::End => return Ok(to),
            Walk::Link { at, target: next, rest } => {
                // A link on the way: go on behind it.
                target = if rest.is_empty() {
                    next
                } else {
                    format!("{next}/{rest}")
                };
                from = at;
            }
            Walk::Nothing => {
                return Err(refused(
                    path,
                    format!("it is a link to `{target}`, which is not in the tree"),
                ));
            }
        }
    }
    Err(refused(
        path,
        format!("it is a link in a chain of more than {MAX_CHAIN}"),
    ))
}

enum Walk {
    End,
    Link { at: String, target: String, rest: String },
    Nothing,
}

/// Walks `path` from the top until a link or the end.
fn walk(tree: &Tree, path: &str) -> Walk {
    let borders = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
    for border in borders {
        if let Some(Node::Link { target }) = tree.get(&path[..border]) {
            return Walk::Link {
                at: path[..border].to_owned(),
                target: target.clone(),
                rest: path[border..].trim_start_matches('/').to_owned(),
            };
        }
    }
    if tree.get(path).is_some() || tree.is_dir(path) {
        Walk::End
    } else {
        Walk::Nothing
    }
}

/// Where `target`, written in the link `from`, leads; `link` is the one that is told about.
fn join(link: &str, from: &str, target: &str) -> Result<String, SourceError> {
    if target.is_empty() || target.starts_with('/') || target.contains(['\\', '\0']) {
        return Err(refused(
            link,
            format!("it is a link to `{}`, not to a relative path", target.escape_debug()),
        ));
    }
    let mut segments: Vec<&str> = from.split('/').collect();
    segments.pop();
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                if segments.pop().is_none() {
                    return Err(refused(
                        link,
                        format!("it is a link to `{target}`, which leads out of the tree"),
                    ));
                }
            }
            segment => segments.push(segment),
        }
    }
    if segments.is_empty() {
        return Err(refused(link, "it is a link to the top of the tree"));
    }
    Ok(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tree::Content;

    fn tree(links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        let file = |text: &str| Node::File {
            exec: true,
            content: Content::Bytes(text.as_bytes().into()),
        };
        tree.put("lib/x.so.1".to_owned(), file("x"));
        tree.put("bin/go".to_owned(), file("go"));
        for (path, target) in links {
            let target = (*target).to_owned();
            tree.put((*path).to_owned(), Node::Link { target });
        }
        tree
    }

    #[test]
    fn links_inside_stay_or_become_copies() {
        let links = [("lib/x.so", "x.so.1"), ("lib64", "lib"), ("bin/y", "../lib64/./x.so")];
        let mut t = tree(&links);
        assert_eq!(settle(&mut t, false).unwrap(), 3);
        let target = |path| match t.get(path) {
            Some(Node::Link { target }) => target.clone(),
            other => panic!("`{path}` is {other:?}"),
        };
        assert_eq!(
            (target("lib/x.so"), target("lib64")),
            ("x.so.1".to_owned(), "lib".to_owned())
        );
        assert_eq!(
            target("bin/y"),
            "../lib/x.so.1",
            "`.` cannot be in a pack, so the link names its end"
        );

        let mut t = tree(&links[..1]);
        settle(&mut t, true).unwrap();
        assert!(
            matches!(t.get("lib/x.so"), Some(Node::File { exec: true, content }) if content.head(9).unwrap() == b"x")
        );
    }

    #[test]
    fn everything_else_is_refused_with_its_path() {
        for (target, part) in [
            ("/etc/passwd", "not to a relative path"),
            ("../../etc/passwd", "leads out of the tree"),
            ("nothing", "not in the tree"),
            ("y", "chain"),
            ("..", "top of the tree"),
            ("go/deeper", "not in the tree"),
        ] {
            let error = settle(&mut tree(&[("bin/y", target)]), false).unwrap_err().to_string();
            assert!(
                error.starts_with("`bin/y` cannot be in a pack") && error.contains(part),
                "{error}"
            );
        }
        let error = settle(&mut tree(&[("lib64", "lib")]), true).unwrap_err().to_string();
        assert!(error.contains("link to the folder `lib`"), "{error}");
    }
}
