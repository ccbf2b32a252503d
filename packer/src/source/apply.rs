//! Owns the declarative steps on a tree, in this order: strip, include, exclude, rename, copy, text,
//! shebang, exec.

use std::{collections::BTreeSet, sync::Arc};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::{
    error::SourceError,
    tree::{Content, Node, Tree},
};
use crate::definition::{Steps, nearest};

/// Longest file whose first line is replaced, in bytes.
const MAX_SCRIPT: u64 = 16 << 20;

/// A pattern for paths: `*` and `?` stay inside one folder, `**` does not.
///
/// # Errors
/// The text is no pattern.
pub(crate) fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(build(text)?.compile_matcher())
}

fn build(text: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
}

/// Does all steps.
pub(super) fn apply(tree: Tree, steps: &Steps) -> Result<Tree, SourceError> {
    let mut tree = match &steps.strip {
        Some(folder) if !folder.is_empty() => strip(tree, folder)?,
        _ => tree,
    };
    filter(&mut tree, &steps.include, &steps.exclude)?;
    for (old, new) in &steps.rename {
        tree = rename(tree, old, new)?;
    }
    for (from, to) in &steps.copy {
        copy(&mut tree, from, to)?;
    }
    for (path, text) in &steps.text {
        if tree.get(path).is_some() || tree.has_below(path) {
            return Err(taken(path, "`text` would replace what the source has"));
        }
        let content = Content::Bytes(Arc::from(text.as_bytes()));
        tree.put(path.clone(), Node::File { exec: false, content });
    }
    for (pattern, program) in &steps.shebang {
        shebang(&mut tree, pattern, program)?;
    }
    mark_programs(&mut tree, &steps.exec)?;
    Ok(tree)
}

fn set(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(build(pattern).expect("patterns were checked when the definition was read"));
    }
    set.build().expect("patterns that are fine alone are fine together")
}

pub(super) fn no_match(step: &'static str, pattern: &str, tree: &Tree) -> SourceError {
    let near = nearest(pattern, tree.iter().map(|(path, _)| path.as_str()).take(50_000));
    let near = near.map(|n| format!("; did you mean `{n}`?")).or_else(|| {
        let tops: BTreeSet<_> = tree
            .iter()
            .filter_map(|(p, _)| p.split('/').next())
            .take(50_000)
            .collect();
        let tops: Vec<_> = tops.into_iter().take(6).collect();
        (!tops.is_empty()).then(|| format!("; at the top there is `{}`", tops.join("`, `")))
    });
    SourceError::NoMatch {
        step,
        pattern: pattern.to_owned(),
        near: near.unwrap_or_default(),
    }
}

/// Keeps what is below the one folder that matches.
fn strip(tree: Tree, pattern: &str) -> Result<Tree, SourceError> {
    let matcher = glob(pattern).map_err(|_| no_match("strip", pattern, &tree))?;
    let mut folders = BTreeSet::new();
    for (path, node) in tree.iter() {
        let borders = path.match_indices('/').map(|(i, _)| &path[..i]);
        let whole = matches!(node, Node::Dir).then_some(path.as_str());
        folders.extend(borders.chain(whole).filter(|folder| matcher.is_match(folder)));
    }
    let folder = match folders.into_iter().collect::<Vec<_>>()[..] {
        [folder] => format!("{folder}/"),
        [] => return Err(no_match("strip", pattern, &tree)),
        [first, second, ..] => {
            return Err(SourceError::NoMatch {
                step: "strip",
                pattern: pattern.to_owned(),
                near: format!(" alone: both `{first}` and `{second}` match"),
            });
        }
    };
    Ok(tree.map_paths(|path| path.strip_prefix(&folder).map(str::to_owned)))
}

/// Keeps what `include` names and `exclude` does not; folders that become empty go.
fn filter(tree: &mut Tree, include: &[String], exclude: &[String]) -> Result<(), SourceError> {
    if include.is_empty() && exclude.is_empty() {
        return Ok(());
    }
    let (wanted, unwanted) = (set(include), set(exclude));
    let mut used = BTreeSet::new();
    let empty: BTreeSet<String> = tree
        .iter()
        .filter(|(path, node)| matches!(node, Node::Dir) && !tree.has_below(path))
        .map(|(path, _)| path.clone())
        .collect();
    let mut kept = BTreeSet::new();
    for (path, node) in tree.iter() {
        used.extend(wanted.matches(path));
        let file = !matches!(node, Node::Dir) || empty.contains(path);
        // A pattern may name a folder: what lies below it is meant.
        let hits = |set: &GlobSet| set.is_match(path) || parents(path).any(|p| set.is_match(p));
        let included = include.is_empty() || hits(&wanted);
        if !include.is_empty() && included {
            used.extend(parents(path).flat_map(|p| wanted.matches(p)));
        }
        if file && included && !hits(&unwanted) {
            kept.insert(path.clone());
        }
    }
    if let Some(i) = (0..include.len()).find(|i| !used.contains(i)) {
        return Err(no_match("include", &include[i], tree));
    }
    let needed: BTreeSet<&str> = kept.iter().flat_map(|path| parents(path)).collect();
    tree.retain(|path, _| kept.contains(path) || needed.contains(path));
    Ok(())
}

pub(super) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(i, _)| &path[..i])
}

fn taken(path: &str, reason: &str) -> SourceError {
    SourceError::Entry {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Moves a file, or a folder with everything in it.
fn rename(tree: Tree, old: &str, new: &str) -> Result<Tree, SourceError> {
    if tree.get(old).is_none() && !tree.has_below(old) {
        return Err(no_match("rename", old, &tree));
    }
    if tree.get(new).is_some() || tree.has_below(new) {
        return Err(taken(new, &format!("`rename` would put `{old}` in its place")));
    }
    if parents(new).any(|p| p == old) {
        return Err(taken(new, &format!("`rename` would put `{old}` into itself")));
    }
    let folder = format!("{old}/");
    Ok(tree.map_paths(|path| match path.strip_prefix(&folder) {
        Some(rest) => Some(format!("{new}/{rest}")),
        None if path == old => Some(new.to_owned()),
        None => Some(path.to_owned()),
    }))
}

/// Gives a file a second path; the bytes are stored once.
fn copy(tree: &mut Tree, from: &str, to: &str) -> Result<(), SourceError> {
    let Some(node @ Node::File { .. }) = tree.get(from).cloned() else {
        return Err(no_match("copy", from, tree));
    };
    if tree.get(to).is_some() || tree.has_below(to) {
        return Err(taken(to, &format!("`copy` would put `{from}` in its place")));
    }
    tree.put(to.to_owned(), node);
    Ok(())
}

/// Replaces the first line of scripts.
fn shebang(tree: &mut Tree, pattern: &str, program: &str) -> Result<(), SourceError> {
    let matcher = glob(pattern).expect("patterns were checked when the definition was read");
    let mut found = false;
    for (path, node) in tree.iter_mut() {
        let Node::File { content, .. } = node else { continue };
        if !matcher.is_match(path) {
            continue;
        }
        let broken = |e: std::io::Error| taken(path, &e.to_string());
        if content.head(2).map_err(broken)? != b"#!" {
            continue;
        }
        found = true;
        if content.size() > MAX_SCRIPT {
            return Err(taken(
                path,
                &format!("a script of {} bytes, at most {MAX_SCRIPT}", content.size()),
            ));
        }
        let text = content.head(MAX_SCRIPT).map_err(broken)?;
        let rest = text.iter().position(|b| *b == b'\n').map_or(&[][..], |i| &text[i..]);
        let bytes = [b"#!", program.as_bytes(), rest].concat();
        *content = Content::Bytes(Arc::from(bytes));
    }
    if !found {
        return Err(no_match("shebang", pattern, tree));
    }
    Ok(())
}

fn mark_programs(tree: &mut Tree, patterns: &[String]) -> Result<(), SourceError> {
    for pattern in patterns {
        let matcher = glob(pattern).expect("patterns were checked when the definition was read");
        let mut found = false;
        for (path, node) in tree.iter_mut() {
            if let Node::File { exec, .. } = node
                && matcher.is_match(path)
            {
                *exec = true;
                found = true;
            }
        }
        if !found {
            return Err(no_match("exec", pattern, tree));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in paths {
            if let Some(dir) = path.strip_suffix('/') {
                tree.put(dir.to_owned(), Node::Dir);
                continue;
            }
            let content = Content::Bytes(Arc::from(format!("#!/bin/old\n{path}").as_bytes()));
            tree.put((*path).to_owned(), Node::File { exec: false, content });
        }
        tree
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.iter()
            .map(|(path, node)| match node {
                Node::Dir => format!("{path}/"),
                Node::File { exec: true, .. } => format!("{path}*"),
                _ => path.clone(),
            })
            .collect()
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn steps_follow_their_order() {
        let steps = Steps {
            strip: Some("p-*/native".to_owned()),
            exclude: list(&["**/*.a", "lib/pc"]),
            rename: vec![
                ("lib/x.so.1.2".to_owned(), "lib/x.so.1".to_owned()),
                ("share".to_owned(), "doc".to_owned()),
            ],
            exec: list(&["bin/*"]),
            text: vec![("LICENSE".to_owned(), "MIT".to_owned())],
            ..Steps::default()
        };
        let made = tree(&[
            "p-1/native/bin/go",
            "p-1/native/lib/x.so.1.2",
            "p-1/native/lib/x.a",
            "p-1/native/lib/pc/x.pc",
            "p-1/native/share/man/x.1",
            "p-1/native/empty/",
            "p-1/other",
        ]);
        let done = apply(made, &steps).unwrap();
        assert_eq!(
            paths(&done),
            ["LICENSE", "bin/go*", "doc/man/x.1", "empty/", "lib/x.so.1"]
        );
    }

    #[test]
    fn include_keeps_folders_that_are_needed_and_drops_the_rest() {
        let mut t = tree(&["a/", "a/b/", "a/b/c", "a/d", "e/", "f"]);
        filter(&mut t, &list(&["a/b"]), &[]).unwrap();
        assert_eq!(paths(&t), ["a/", "a/b/", "a/b/c"]);
    }

    #[test]
    fn what_matches_nothing_is_told_with_what_is_near() {
        let t = || tree(&["bin/server", "bin/client"]);
        let one = |steps: Steps| apply(t(), &steps).unwrap_err().to_string();
        assert_eq!(
            one(Steps {
                exec: list(&["bin/srver"]),
                ..Steps::default()
            }),
            "`exec` names `bin/srver`, which matches nothing; did you mean `bin/server`?"
        );
        assert!(
            one(Steps {
                strip: Some("package".into()),
                ..Steps::default()
            })
            .ends_with("at the top there is `bin`")
        );
        assert!(
            one(Steps {
                include: list(&["lib/**"]),
                ..Steps::default()
            })
            .starts_with("`include` names `lib/**`")
        );
        let clash = Steps {
            rename: vec![("bin/server".into(), "bin/client".into())],
            ..Steps::default()
        };
        assert!(one(clash).contains("in its place"));
    }

    #[test]
    fn a_first_line_is_replaced_and_nothing_else() {
        let steps = Steps {
            shebang: vec![("*".into(), "/usr/bin/env node".into())],
            ..Steps::default()
        };
        let t = apply(tree(&["tool"]), &steps).unwrap();
        let Some(Node::File { content, .. }) = t.get("tool") else {
            panic!("it is a file")
        };
        assert_eq!(content.head(99).unwrap(), b"#!/usr/bin/env node\ntool");
    }
}
