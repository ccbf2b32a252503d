//! Owns the tests of `stack.toml`: what is told of mistakes, what a definition means per target, the examples of the docs.

use std::{fs, path::Path};

use kojibox_packer::definition::{Definition, Origin, ResolvedPack};
use kojibox_packs::Target;
use tempfile::TempDir;

/// A folder with a definition and the files it names.
fn desk(stack: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    for file in [
        "dir/file.txt",
        "app/main.js",
        "templates/app.conf.j2",
        "templates/postgresql.conf.j2",
    ] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    fs::write(dir.path().join("stack.toml"), stack).unwrap();
    dir
}

fn load(stack: &str) -> Definition {
    let dir = desk(stack);
    Definition::load(&dir.path().join("stack.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Every mistake as it is shown, without the folder of the test.
fn mistakes(stack: &str) -> String {
    let dir = desk(stack);
    told(
        &dir,
        &Definition::load(&dir.path().join("stack.toml"))
            .unwrap_err()
            .to_string(),
    )
}

fn told(dir: &TempDir, text: &str) -> String {
    text.replace(&format!("{}/", dir.path().display()), "")
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn ids(pack: &ResolvedPack) -> (Vec<&str>, Vec<&str>) {
    let components = pack.components.iter().map(|c| c.id.as_str()).collect();
    (components, pack.services.iter().map(|s| s.id.as_str()).collect())
}

const SMALLEST: &str = r#"
[pack]
name = "tree"
version = "1.0.0"
[[component]]
id = "tree"
version = "1.0.0"
source = { path = "dir" }
"#;

#[test]
fn the_smallest_definition_is_for_any_target() {
    let dir = desk(SMALLEST);
    let definition = Definition::load(&dir.path().join("stack.toml")).unwrap();
    assert_eq!(definition.targets(), [Target::Any]);
    let pack = definition.resolve(&Target::Any).unwrap();
    assert_eq!(
        (pack.pack.channel.as_str(), pack.components[0].default),
        ("stable", false)
    );
    let source = &pack.components[0].source;
    assert!(source.for_all_targets && matches!(&source.origin, Origin::Path { from, .. } if from.ends_with("dir")));
}

#[test]
fn every_mistake_of_every_table_is_told_once_with_its_place() {
    let told = mistakes(include_str!("definition/mistakes.toml"));
    let expected = include_str!("definition/mistakes.txt");
    for (told, expected) in told.lines().zip(expected.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
}

#[test]
fn broken_toml_is_told_where_it_breaks_and_nothing_is_guessed_from_it() {
    insta::assert_snapshot!(mistakes("[pack]\nname = \"x\nversion = 1.0.0\n"), @r#"
    stack.toml:2:10: invalid basic string, expected `"`
      |
    2 | name = "x
      |          ^
    stack.toml:3:14: invalid float, expected nothing
      |
    3 | version = 1.0.0
      |              ^^
    "#);
    let missing = Definition::load(Path::new("no/such/stack.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such/stack.toml: could not read the definition: "),
        "{missing}"
    );
}

#[test]
fn the_most_specific_source_wins_and_names_are_filled() {
    let stack = load(
        r#"
        [pack]
        name = "p"
        version = "1.0.0"
        targets = ["linux-x86_64", "linux-aarch64", "macos-aarch64", "windows-x86_64"]
        [[component]]
        id = "db"
        version = "1.0.0"
        [component.source."*"]
        url = "https://example.org/{version}/db-{os}-{arch}.zip"
        [component.source."*-aarch64"]
        deb = "db-{deb_arch}"
        [component.source."linux-*"]
        npm = "@x/linux-{npm_arch}"
        version = "2.0.0"
        rename = { "lib/a-{arch}" = "lib/a" }
        [component.source."macos-*"]
        npm = "@x/{npm_os}-{npm_arch}"
        "#,
    );
    let locator = |t: &str| stack.resolve(&target(t)).unwrap().components[0].source.origin.locator();
    assert_eq!(locator("linux-x86_64"), "npm:@x/linux-x64@2.0.0");
    assert_eq!(locator("linux-aarch64"), "npm:@x/linux-arm64@2.0.0");
    assert_eq!(locator("macos-aarch64"), "npm:@x/darwin-arm64@1.0.0");
    assert_eq!(
        locator("windows-x86_64"),
        "https://example.org/1.0.0/db-windows-x86_64.zip"
    );
    let source = &stack.resolve(&target("linux-aarch64")).unwrap().components[0].source;
    assert_eq!(source.steps.rename, [("lib/a-aarch64".to_owned(), "lib/a".to_owned())]);
    assert!(!source.for_all_targets);
}

const SYSTEMS: &str = r#"
[pack]
name = "p"
version = "1.0.0"
targets = ["linux-x86_64", "windows-x86_64"]
[[component]]
id = "cache"
version = "1.0.0"
targets = ["linux-*"]
data_format = "9"
source = { path = "dir" }
[[component]]
id = "app"
version = "1.0.0"
source = { path = "app" }
[[service]]
id = "cache"
component = "cache"
command = ["{component}/c"]
ports = { main = 4000 }
[[service]]
id = "app"
component = "app"
command = ["{component}/a"]
[[template]]
service = "cache"
source = "templates/app.conf.j2"
target = "app.conf"
"#;

#[test]
fn what_is_not_for_a_target_is_left_out_with_all_that_belongs_to_it() {
    let dir = desk(SYSTEMS);
    let definition = Definition::load(&dir.path().join("stack.toml")).unwrap();
    let linux = definition.resolve(&target("linux-x86_64")).unwrap();
    assert_eq!(ids(&linux), (vec!["app", "cache"], vec!["cache", "app"]));
    assert_eq!(linux.services[0].data_format.as_deref(), Some("9"));
    assert_eq!(linux.pack_files[0].path, linux.templates[0].source);
    assert_eq!(linux.pack_files[0].path, "templates/cache/app.conf");
    let windows = definition.resolve(&target("windows-x86_64")).unwrap();
    assert_eq!(ids(&windows), (vec!["app"], vec!["app"]));
    assert!(windows.templates.is_empty() && windows.pack_files.is_empty());
}

#[test]
fn what_needs_something_that_is_left_out_is_told() {
    let needs = SYSTEMS.replace("[\"{component}/a\"]", "[\"{component}/a\", \"{port:cache.main}\"]");
    insta::assert_snapshot!(mistakes(&needs), @r#"
    stack.toml:24:30: the service `cache` is not there for the target `windows-x86_64`
       |
    24 | command = ["{component}/a", "{port:cache.main}"]
       |                              ^^^^^^^^^^^^^^^^^
    "#);
    let dir = desk(&SYSTEMS.replace("targets = [\"linux-*\"]\n", ""));
    let definition = Definition::load(&dir.path().join("stack.toml")).unwrap();
    assert!(
        definition.resolve(&target("macos-aarch64")).is_ok(),
        "a target that the file does not name"
    );
}

#[test]
fn a_folder_per_target_must_be_there_only_when_it_is_built() {
    let stack = SMALLEST
        .replace("\"dir\"", "\"dir-{os}\"")
        .replace("[[comp", "targets = [\"linux-x86_64\"]\n[[comp");
    let dir = desk(&stack);
    let definition = Definition::load(&dir.path().join("stack.toml")).unwrap();
    let error = told(
        &dir,
        &definition.resolve(&target("linux-x86_64")).unwrap_err().to_string(),
    );
    assert!(
        error.contains("`path` names `dir-linux`, which does not exist"),
        "{error}"
    );
    fs::create_dir(dir.path().join("dir-linux")).unwrap();
    definition.resolve(&target("linux-x86_64")).unwrap();
}

#[test]
fn included_files_keep_their_own_folder() {
    let dir = desk(&SMALLEST.replace(
        "version = \"1.0.0\"\n[[comp",
        "version = \"1.0.0\"\ninclude = [\"lib/more.toml\"]\n[[comp",
    ));
    fs::create_dir_all(dir.path().join("lib/files")).unwrap();
    let more = "[[component]]\nid = \"more\"\nversion = \"1.0.0\"\nsource = { path = \"files\" }\n";
    fs::write(dir.path().join("lib/more.toml"), more).unwrap();
    let stack = dir.path().join("stack.toml");
    let definition = Definition::load(&stack).unwrap();
    assert_eq!(definition.files().count(), 2);
    assert_eq!(ids(&definition.resolve(&Target::Any).unwrap()).0, ["more", "tree"]);

    fs::write(
        dir.path().join("lib/more.toml"),
        format!("{more}\n[pack]\nname = \"y\"\n[[compnent]]\n"),
    )
    .unwrap();
    insta::assert_snapshot!(told(&dir, &Definition::load(&stack).unwrap_err().to_string()), @r#"
    lib/more.toml:6:2: `[pack]` stands in an included file, expected in the main file only
      |
    6 | [pack]
      |  ^^^^
    lib/more.toml:8:3: unknown key `compnent` in the file
      |
    8 | [[compnent]]
      |   ^^^^^^^^ did you mean `component`?
    "#);
}

/// The head that a fragment of the docs needs.
fn whole(block: &str) -> String {
    let mut text = block.to_owned();
    if !block.contains("[[component]]") {
        text.push_str("\n[[component]]\nid = \"app\"\nversion = \"1.0.0\"\nsource = { path = \"app\" }\n");
    }
    if !block.contains("[[service]]") && block.contains("\nservice ") {
        text.push_str("\n[[service]]\nid = \"app\"\ncomponent = \"app\"\ncommand = [\"{component}/app\"]\n");
    }
    if !block.contains("[pack]") {
        text.push_str("\n[pack]\nname = \"p\"\nversion = \"1.0.0\"\ntargets = [\"linux-x86_64\", \"macos-aarch64\"]\n");
    }
    text
}

#[test]
fn every_example_of_the_docs_is_a_definition() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/stack.md");
    let text = fs::read_to_string(docs).unwrap();
    let blocks: Vec<_> = text
        .split("```toml\n")
        .skip(1)
        .map(|b| b.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 8, "only {} examples", blocks.len());
    for block in blocks {
        let dir = desk(&whole(block));
        fs::write(dir.path().join("more.toml"), "").unwrap();
        if let Err(mistakes) = Definition::load(&dir.path().join("stack.toml")) {
            panic!("{}\nin\n{block}", told(&dir, &mistakes.to_string()));
        }
    }
}

#[test]
fn notify_is_refused_where_nobody_can_tell_who_says_it() {
    let stack = |targets: &str, service: &str, probe: &str| {
        format!(
            "[pack]\nname = \"x\"\nversion = \"1.0.0\"\n{targets}\n[[component]]\nid = \"x\"\nversion = \"1.0.0\"\nsource = {{ path = \"dir\" }}\n\
             [[service]]\nid = \"x\"\ncomponent = \"x\"\ncommand = [\"{{component}}/x\"]\n{service}\n[service.{probe}]\ncheck = {{ notify = true }}\n"
        )
    };
    let everywhere = mistakes(&stack(
        "targets = [\"linux-x86_64\", \"macos-aarch64\"]",
        "",
        "readiness",
    ));
    assert!(
        everywhere
            .contains("stack.toml:15:11: the check `notify` works on Linux only, and `x` may run on `macos-aarch64`"),
        "{everywhere}"
    );
    let portable = mistakes(&stack("", "", "startup"));
    assert!(portable.contains("may run on `any`"), "{portable}");
    let lively = mistakes(&stack("targets = [\"linux-x86_64\"]", "", "liveness"));
    assert!(lively.contains("so it is no check for `liveness`"), "{lively}");

    let both = "targets = [\"linux-x86_64\", \"macos-aarch64\"]";
    load(&stack(both, "targets = [\"linux-*\"]", "readiness"));
}

#[test]
fn every_definition_of_the_recipes_has_no_mistakes() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs/recipes");
    let files = walkdir::WalkDir::new(recipes)
        .into_iter()
        .map(|e| e.unwrap().into_path());
    let is_stack = |p: &Path| {
        let name = p.file_name().unwrap().to_str().unwrap();
        name.starts_with("stack") && p.extension() == Some("toml".as_ref())
    };
    let stacks: Vec<_> = files.filter(|p| is_stack(p)).collect();
    assert!(stacks.len() >= 2, "{stacks:?}");
    for stack in stacks {
        if let Err(mistakes) = Definition::load(&stack) {
            panic!("{mistakes}");
        }
    }
}
