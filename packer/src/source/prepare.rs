//! Owns preparing: from pinned inputs in the cache to the entries of a component, ready to be written.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use kojibox_packs::{
    Os, Target,
    path::PackPath,
    write::{InputEntry, InputKind},
};
use kojibox_signing::Digest;

use super::{
    FetchEnv, Job, Progress, apply,
    bundle::{self, DebianPackage, Packages},
    error::SourceError,
    links, npm_tree, path, pypi, rpath,
    tree::{Content, Node, Tree},
    unpack, wheel,
};
use crate::{
    cache::Cache,
    definition::{Origin, ResolvedComponent},
    interrupt,
    lock::{LockEntry, LockedInput},
    upstream::SignedBy,
};

/// A component as it goes into a blob.
pub struct PreparedTree {
    /// Every entry, sorted by path, parents first. Reading one reads from `scratch`, or from a folder of the builder.
    pub entries: Vec<InputEntry>,
    /// Digest over the inputs.
    pub inputs_sha256: Digest,
    /// Where the bytes came from, as the manifest names it.
    pub upstream: String,
    /// The upstream's signature that was checked, by the kind and the key.
    pub signature: Option<String>,
    /// The entries are the same for every target.
    pub portable: bool,
    /// The Debian packages that files of a bundle are from, sorted.
    pub packages: Vec<DebianPackage>,
    /// What a builder should know.
    pub notes: Vec<String>,
}

/// Makes the tree of `component` from what `lock` pins, fetching what the cache lacks.
///
/// `scratch` is an empty folder that stays until the entries were read.
///
/// # Errors
/// Nothing but `scratch` and the cache was touched.
pub fn prepare(
    component: &ResolvedComponent,
    target: &Target,
    lock: &LockEntry,
    cache: &Cache,
    scratch: &Path,
    env: &FetchEnv,
    progress: &dyn Progress,
) -> Result<PreparedTree, SourceError> {
    let job = Job {
        target,
        cache,
        scratch,
        env,
        progress,
    };
    job.prepare(component, lock)
        .map_err(|e| e.of("prepare", &component.id, &target.to_string()))
}

impl Job<'_> {
    fn prepare(&self, component: &ResolvedComponent, lock: &LockEntry) -> Result<PreparedTree, SourceError> {
        let source = &component.source;
        self.fetch(&source.origin, &lock.inputs)?;
        let (tree, packages) = self.unpack(&source.origin, &lock.inputs)?;
        interrupt::check()?;
        let mut tree = apply::apply(tree, &source.steps)?;
        // Before files are written anew.
        let packages = packages.of(&tree);
        rpath::apply(&mut tree, &source.steps.rpath, self.scratch)?;
        let links = links::settle(&mut tree, self.target.os() == Some(Os::Windows))?;
        let mut notes = Vec::new();
        if links > 0 && self.target.os() == Some(Os::Windows) {
            notes.push(format!("{links} links became copies, which are stored once"));
        }
        let portable = *self.target == Target::Any
            || (source.for_all_targets && links == 0 && is_portable(&source.origin, &lock.inputs, &tree)?);
        Ok(PreparedTree {
            inputs_sha256: match source.origin {
                Origin::Path { .. } => path::digest(&tree)?,
                _ => lock.inputs_sha256(),
            },
            entries: entries(&tree)?,
            upstream: source.origin.upstream(lock.inputs.iter().map(|i| i.locator.as_str())),
            signature: source.origin.signed_by().map(SignedBy::short),
            portable,
            packages,
            notes,
        })
    }

    /// The tree before the steps, and whose its bytes are if it is a bundle.
    fn unpack(&self, origin: &Origin, inputs: &[LockedInput]) -> Result<(Tree, Packages), SourceError> {
        let plain = |tree: Tree| (tree, Packages::default());
        match origin {
            Origin::Path { from, .. } => return path::read(from).map(plain),
            Origin::Npm { tree: Some(_), .. } => return npm_tree::unpack(self, inputs).map(plain),
            Origin::Deb {
                closure: Some(closure), ..
            } => return bundle::unpack(self, inputs, &closure.roots),
            _ => {}
        }
        let whole = matches!(origin, Origin::Url { unpack: false, .. });
        let mut tree = Tree::default();
        for input in inputs {
            interrupt::check()?;
            let mut cached = self.cached(input)?;
            let one = if whole {
                unpack::keep(&mut cached.file, &input.name, self.scratch)?
            } else {
                unpack::unpack(&mut cached.file, &input.name, self.scratch)?
            };
            if matches!(origin, Origin::Pypi { .. }) {
                wheel::check(&one, &input.name)?;
            }
            tree.graft("", one);
        }
        Ok(plain(tree))
    }
}

/// True if the bytes of a source that names no target are meant for all of them.
fn is_portable(origin: &Origin, inputs: &[LockedInput], tree: &Tree) -> Result<bool, SourceError> {
    match origin {
        Origin::Npm { tree: Some(_), .. } => Ok(true),
        Origin::Pypi { .. } => {
            let any = |i: &LockedInput| pypi::wheel_tags(&i.name).is_some_and(|(_, platform)| platform == "any");
            Ok(inputs.iter().all(any))
        }
        Origin::Deb { .. } => Ok(inputs.iter().all(|i| i.name.ends_with("_all.deb"))),
        Origin::Crate { .. } => Ok(false),
        Origin::Path { .. } | Origin::Url { .. } | Origin::Npm { tree: None, .. } => Ok(!has_machine_code(tree)?),
    }
}

fn has_machine_code(tree: &Tree) -> Result<bool, SourceError> {
    for (path, node) in tree.iter() {
        let Node::File { content, .. } = node else { continue };
        let head = content.head(8).map_err(|e| unreadable(path, &e))?;
        if is_machine_code(&head) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// ELF, PE or Mach-O, by the first bytes.
fn is_machine_code(head: &[u8]) -> bool {
    match head {
        [0x7f, b'E', b'L', b'F', ..]
        | [b'M', b'Z', _, 0, ..]
        | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..]
        | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => true,
        // Universal Mach-O holds few programs; a Java class, with the same first bytes, has a version above 44 there.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, n] => *n < 40,
        _ => false,
    }
}

fn unreadable(path: &str, error: &std::io::Error) -> SourceError {
    SourceError::Entry {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// The entries of the tree with every folder on the way, parents first.
fn entries(tree: &Tree) -> Result<Vec<InputEntry>, SourceError> {
    let mut folders = BTreeSet::new();
    for (path, node) in tree.iter() {
        folders.extend(path.match_indices('/').map(|(i, _)| &path[..i]));
        if matches!(node, Node::Dir) {
            folders.insert(path);
        }
    }
    if let Some(folder) = folders
        .iter()
        .find(|f| tree.get(f).is_some_and(|n| !matches!(n, Node::Dir)))
    {
        return Err(SourceError::Entry {
            path: (*folder).to_owned(),
            reason: "it is a file or link, and a folder too".to_owned(),
        });
    }
    let path_of = |path: &str| {
        PackPath::new(path).map_err(|e| SourceError::Entry {
            path: path.to_owned(),
            reason: e.reason.to_string(),
        })
    };
    let mut all = Vec::with_capacity(folders.len() + tree.len());
    for folder in folders {
        all.push(InputEntry::dir(path_of(folder)?));
    }
    for (path, node) in tree.iter() {
        match node {
            Node::Dir => {}
            Node::Link { target } => all.push(InputEntry::link(path_of(path)?, target.as_str())),
            Node::File { exec, content } => all.push(InputEntry {
                path: path_of(path)?,
                kind: file(*exec, content),
            }),
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

fn file(exec: bool, content: &Content) -> InputKind {
    let content = content.clone();
    InputKind::File {
        mode: if exec { 0o755 } else { 0o644 },
        size: content.size(),
        open: Arc::new(move || content.open()),
    }
}
