//! What is shipped must be well formed: every recipe and every file of the component library.

use std::{fs, path::PathBuf};

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::demo_stack, workspace};

#[test]
fn every_shipped_definition_has_no_mistake() -> Outcome {
    let sandbox = Sandbox::new()?;
    for number in 1..=3 {
        let stack = demo_stack(&sandbox, number)?;
        // The other targets' programs are built elsewhere; here a file in their place will do.
        for target in ["linux-x86_64", "linux-aarch64", "macos-aarch64", "windows-x86_64"] {
            for program in ["guestbook-1", "guestbook-2"] {
                sandbox.write(&format!("recipe/stage/{target}/{program}/bin/guestbook"), "")?;
            }
        }
        sandbox.packer(["check"]).arg(stack).answer()?;
    }
    let packs = workspace().join("packs");
    sandbox
        .packer(["check"])
        .arg(packs.join("recipes/kojibox/stack.toml"))
        .answer()
        .map(drop)
}

/// Components that stand for the same service: a stack takes one of them.
const INSTEAD: [(&str, &[&str]); 1] = [("postgres15.toml", &["postgres.toml", "postgres-upgrade.toml"])];

#[test]
fn every_component_of_the_library_can_be_included() -> Outcome {
    let sandbox = Sandbox::new()?;
    let library = workspace().join("packs/components");
    let entries = fs::read_dir(&library).map_err(Failure::doing("could not list the library"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    names.sort();
    ensure(names.len() >= 10, || format!("the library holds only {names:?}"))?;
    let is = |path: &PathBuf, name: &str| path.file_name().is_some_and(|file| file == name);
    let usual = |path: &&PathBuf| INSTEAD.iter().all(|(other, _)| !is(path, other));
    check_together(&sandbox, "all", names.iter().filter(usual))?;
    for (other, out) in INSTEAD {
        let rest = names.iter().filter(|path| out.iter().all(|name| !is(path, name)));
        check_together(&sandbox, other, rest)?;
    }
    Ok(())
}

/// Checks a stack that includes all of `files`.
fn check_together<'a>(sandbox: &Sandbox, name: &str, files: impl Iterator<Item = &'a PathBuf>) -> Outcome {
    let include: Vec<String> = files.map(|path| format!("'{}'", path.display())).collect();
    let stack = format!(
        "[pack]\nname = \"all\"\nversion = \"1.0.0\"\ntargets = [\"linux-x86_64\", \"linux-aarch64\", \"macos-aarch64\"]\ninclude = [{}]\n",
        include.join(", ")
    );
    let stack = sandbox.write(&format!("{name}/stack.toml"), stack)?;
    sandbox.packer(["check"]).arg(stack).answer().map(drop)
}
