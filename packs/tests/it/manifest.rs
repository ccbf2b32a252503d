//! A manifest is read in one form, and only when everything in it fits.

use kojibox_packs::{
    Kind,
    manifest::{
        self, Component, Compressor, DataFile, Manifest, ManifestError, Migration, Question, Secret, Service, Space,
        Template, sequence_of,
    },
    names,
};
use kojibox_signing::{Digest, Document as _};

use crate::fixture::{Packed, file, options};

/// A manifest of pack `pack`, version 1.0.0, for any target.
pub(crate) fn manifest_of(pack: &str, components: Vec<Component>) -> Manifest {
    let stem = format!("{pack}-1.0.0-any");
    let data = |name: String| DataFile {
        name,
        size: 1,
        sha256: Digest::of(b"x"),
    };
    let installed = components.iter().map(|c| c.installed_size).sum();
    Manifest {
        schema: manifest::schema(),
        readable_since: 0,
        pack: pack.to_owned(),
        title: [("en".to_owned(), "A \"pack\"\n".to_owned())].into(),
        version: "1.0.0".to_owned(),
        sequence: sequence_of("1.0.0").unwrap(),
        min_sequence: 0,
        channel: "stable".to_owned(),
        kind: manifest::Kind::Full,
        target: "any".to_owned(),
        min_installer: "0.1.0".to_owned(),
        issued: "2026-11-20T00:00:00Z".to_owned(),
        expires: None,
        source_date_epoch: 1_767_225_600,
        compressor: Compressor {
            name: "zstd".to_owned(),
            version: "1.5.7".to_owned(),
            level: 9,
            window_log: 23,
        },
        components,
        services: vec![],
        templates: vec![],
        secrets: vec![],
        questions: vec![],
        migrations: vec![],
        space: Space {
            staging: installed,
            installed,
            peak: installed,
        },
        base: None,
        delta: None,
        sums: data(names::sums(&stem)),
        sbom: data(names::sbom(&stem)),
        provenance: data(names::provenance(&stem)),
        revokes: vec![],
    }
}

fn json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Two components, two services, and one of everything else.
fn full() -> Manifest {
    let test = Packed::new(vec![file("a", 0o644, b"a")], &options()).component;
    let mut files = test.clone();
    files.id = "_pack".to_owned();
    for name in [&mut files.blob.name, &mut files.index.name] {
        *name = name.replacen("test", "_pack", 1);
    }
    let mut out = manifest_of("p", vec![files, test]);
    let service = |id: &str, requires| -> Service {
        json(
            serde_json::json!({"id": id, "component": "test", "command": ["{component}/a"], "requires": requires,
            "ports": {"main": {"prefer": 8080}}}),
        )
    };
    out.services = vec![
        service("db", serde_json::json!({})),
        service("web", serde_json::json!({"db": "ready"})),
    ];
    out.templates = vec![json::<Template>(
        serde_json::json!({"service": "web", "source": "templates/web.conf", "target": "web.conf"}),
    )];
    out.secrets = vec![json::<Secret>(serde_json::json!({"id": "db", "length": 20}))];
    out.questions = vec![json::<Question>(
        serde_json::json!({"id": "web_port", "prompt": {}, "kind": "port", "default": "8080"}),
    )];
    out.migrations = vec![json::<Migration>(
        serde_json::json!({"service": "db", "from": "1", "to": "2", "command": ["x"]}),
    )];
    out
}

fn parse(manifest: &Manifest) -> Result<Manifest, ManifestError> {
    Manifest::parse(&manifest.to_canonical_json())
}

#[test]
fn a_manifest_comes_back_and_has_one_form() {
    let full = full();
    let bytes = full.to_canonical_json();
    assert_eq!(Manifest::parse(&bytes).unwrap(), full);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.starts_with("{\n  \"schema\": \"kojibox.pack/1.0\",\n  \"readable_since\": 0,\n"),
        "{text}"
    );
    assert!(text.ends_with("\n}\n"));
    for other in [
        text.trim_end().to_owned(),
        text.clone() + "\n",
        text.replace("  ", "    "),
        text.replace('\n', "\r\n"),
        text.replacen("\"channel\"", "\"ch\\u0061nnel\"", 1),
        text.replacen("\"min_sequence\": 0,\n  ", "", 1),
        text.replacen("\"sequence\": 1", "\"sequence\": 01", 1),
        text.replacen("\"readable_since\": 0", "\"readable_since\": 0.0", 1),
        text.replacen(
            "\"readable_since\": 0",
            "\"readable_since\": 0, \"readable_since\": 0",
            1,
        ),
        text.replacen("\"channel\"", "\"unknown\": 1,\n  \"channel\"", 1),
        text.replacen("{\n", "{\n  \"first\": 1,\n", 1),
    ] {
        let error = Manifest::parse(other.as_bytes()).expect_err(&other);
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
    }
}

#[test]
fn newer_versions_are_read_only_where_they_allow_it() {
    let text = String::from_utf8(full().to_canonical_json()).unwrap();
    let newer = |schema: &str, since: u32, extra: &str| {
        let text = text.replacen("kojibox.pack/1.0", schema, 1);
        let text = text.replacen("\"readable_since\": 0", &format!("\"readable_since\": {since}"), 1);
        Manifest::parse(
            text.replacen("\"channel\"", &format!("{extra}\"channel\""), 1)
                .as_bytes(),
        )
    };
    let extra = "\"of_the_future\": {\"a\": [1, null]},\n  ";
    assert_eq!(newer("kojibox.pack/1.7", 0, extra).unwrap().components.len(), 2);
    for (schema, since) in [
        ("kojibox.pack/1.7", 3),
        ("kojibox.pack/2.0", 0),
        ("kojibox.pack/10.0", 99),
    ] {
        assert_eq!(
            newer(schema, since, extra).unwrap_err().kind(),
            Kind::TooNew,
            "{schema}"
        );
    }
    // Even there nothing that two readers could read differently.
    for extra in [
        "\"x\": 1.5,\n  ",
        "\"x\": 1, \"x\": 1,\n  ",
        "\"x\": {\"y\": [{\"z\": 1, \"z\": 2}]},\n  ",
        "\"channel\": \"a\",\n  ",
    ] {
        assert_eq!(
            newer("kojibox.pack/1.7", 0, extra).unwrap_err().kind(),
            Kind::Malformed,
            "{extra}"
        );
    }
    for schema in [
        "kojibox.pack/1",
        "kojibox.pack/01.0",
        "kojibox.pack/0.9",
        "kojibox.root/1.0",
        "kojibox.pack/1.0.0",
        "kojibox.pack/1.x",
    ] {
        assert!(
            matches!(newer(schema, 0, ""), Err(ManifestError::Schema(_))),
            "{schema}"
        );
    }
    // A head of the future whose body has another shape is still known to be of the future.
    let head = br#"{"schema": "kojibox.pack/2.0", "components": "elsewhere"}"#;
    assert_eq!(Manifest::parse(head).unwrap_err().kind(), Kind::TooNew);
}

/// What breaks a rule: the place that is named, where it is changed, and to what (`@` copies from elsewhere).
const BROKEN: &[(&str, &str, &str)] = &[
    ("pack", "/pack", r#""P""#),
    ("pack", "/pack", r#""0123456789012345678901234567890123456789a""#),
    ("version", "/version", r#""1.0""#),
    ("channel", "/channel", r#""../stable""#),
    ("target", "/target", r#""linux""#),
    ("min_installer", "/min_installer", r#""""#),
    ("min_sequence", "/min_sequence", "9007199254740991"),
    ("issued", "/issued", r#""2026-11-20""#),
    ("expires", "/expires", r#""2026-11-20T00:00:00Z""#),
    ("source_date_epoch", "/source_date_epoch", "18446744073709551615"),
    ("compressor.name", "/compressor/name", r#""xz""#),
    ("compressor.level", "/compressor/level", "0"),
    ("compressor.window_log", "/compressor/window_log", "28"),
    ("base", "/kind", r#""delta""#),
    ("delta", "/delta", "[]"),
    ("components", "/components", "[]"),
    ("components", "/components/0/id", r#""zzz""#),
    ("components[2]", "/components/-", r#""@/components/1""#),
    ("components[1].id", "/components/1/id", r#""t_t""#),
    ("components[1].version", "/components/1/version", r#""1""#),
    ("components[1].target", "/components/1/target", r#""linux-x86_64""#),
    ("components[1].blob.name", "/components/1/blob/name", r#""../x""#),
    (
        "components[1].blob.name",
        "/components/1/blob/sha256",
        r#""@/components/1/tree_sha256""#,
    ),
    (
        "components[1].index.name",
        "/components/1/index/name",
        r#""@/components/1/blob/name""#,
    ),
    (
        "components[1].blob.size",
        "/components/1/blob/size",
        "18446744073709551615",
    ),
    (
        "components[1].index.raw_size",
        "/components/1/index/raw_size",
        "2147483648",
    ),
    (
        "components[1].index.frame_max",
        "/components/1/index/frame_max",
        "1073741824",
    ),
    ("components[1].n_files", "/components/1/n_files", "18446744073709551615"),
    ("components[1].max_path_len", "/components/1/max_path_len", "1025"),
    ("components[1].requires[0]", "/components/1/requires", r#"["none"]"#),
    ("components[1].requires[0]", "/components/1/requires", r#"["test"]"#),
    (
        "components[1].conflicts[1]",
        "/components/1/conflicts",
        r#"["_pack", "_pack"]"#,
    ),
    ("components[1].needs[0]", "/components/1/needs", r#"["Exec"]"#),
    ("components[1].data_format", "/components/1/data_format", r#""../1""#),
    (
        "components[1].runtime.min_glibc",
        "/components/1/runtime",
        r#"{"min_glibc": "2.28; rm"}"#,
    ),
    ("services[1]", "/services/1/id", r#""db""#),
    ("services[1].id", "/services/1/id", r#""Web""#),
    ("services[0].component", "/services/0/component", r#""none""#),
    ("services[0].command", "/services/0/command", "[]"),
    ("services[0].command", "/services/0/command", r#"["x", "\u0000"]"#),
    ("services[1].requires", "/services/1/requires", r#"{"none": "ready"}"#),
    ("services[1].binds[0]", "/services/1/binds", r#"["web"]"#),
    ("services", "/services/0/wants", r#"{"web": "started"}"#),
    ("services[0].ports.main.prefer", "/services/0/ports/main/prefer", "0"),
    ("services[0].ports.a/b", "/services/0/ports/a~1b", r#"{"prefer": 1}"#),
    ("services[0].stop", "/services/0/stop", r#"{"unix": [{"wait": "1s"}]}"#),
    ("services[0].data_format", "/services/0/data_format", r#""""#),
    ("templates[0].service", "/templates/0/service", r#""none""#),
    ("templates[0].source", "/templates/0/source", r#""/etc/passwd""#),
    ("templates[0].target", "/templates/0/target", r#""../x""#),
    ("templates[1]", "/templates/-", r#""@/templates/0""#),
    ("secrets[0].id", "/secrets/0/id", r#""a/b""#),
    ("secrets[0].length", "/secrets/0/length", "7"),
    ("questions[0].default", "/questions/0/default", r#""0""#),
    ("questions[0].choices", "/questions/0/kind", r#""choice""#),
    ("questions[1]", "/questions/-", r#""@/questions/0""#),
    ("migrations[0].to", "/migrations/0/to", r#""1""#),
    ("migrations[0].service", "/migrations/0/service", r#""none""#),
    ("space.installed", "/space/installed", "0"),
    ("space.peak", "/space/staging", "1000"),
    ("sums.name", "/sums/name", r#""other""#),
    ("sbom.size", "/sbom/size", "0"),
    ("provenance.size", "/provenance/size", "18446744073709551615"),
    ("revokes[1]", "/revokes", r#"["@/sums/sha256", "@/sums/sha256"]"#),
];

/// Sets what `pointer` names; `-` appends to a list.
fn set(document: &mut serde_json::Value, pointer: &str, value: serde_json::Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        serde_json::Value::Array(list) if key == "-" => list.push(value),
        serde_json::Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        serde_json::Value::Object(map) => drop(map.insert(key.replace("~1", "/"), value)),
        other => panic!("{other} has no `{key}`"),
    }
}

/// Copies what `@` names.
fn copied(document: &serde_json::Value, value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) if text.starts_with('@') => document.pointer(&text[1..]).unwrap().clone(),
        serde_json::Value::Array(list) => list.into_iter().map(|item| copied(document, item)).collect(),
        other => other,
    }
}

#[test]
fn every_rule_names_the_place_that_breaks_it() {
    let good = serde_json::to_value(full()).unwrap();
    assert!(parse(&json(good.clone())).is_ok());
    for (place, pointer, value) in BROKEN {
        let mut bad = good.clone();
        let value = copied(&good, serde_json::from_str(value).unwrap());
        set(&mut bad, pointer, value);
        match parse(&json(bad)) {
            Err(ManifestError::Rule { at, .. }) => assert_eq!(at, *place),
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[test]
fn files_of_a_pack_are_named_after_it() {
    let manifest = full();
    assert_eq!(manifest.file_stem(), "p-1.0.0-any");
    assert_eq!(
        names::manifest(&manifest.file_stem()),
        manifest::file_name("p", "1.0.0", kojibox_packs::Target::Any)
    );
}

#[test]
fn huge_lists_and_texts_are_refused() {
    let mut many = full();
    many.secrets = (0..1001)
        .map(|n| json(serde_json::json!({"id": format!("s{n}")})))
        .collect();
    assert!(matches!(parse(&many), Err(ManifestError::Rule { at, .. }) if at == "secrets"));
    let mut long = full();
    long.title = [("en".to_owned(), "x".repeat(20_000))].into();
    assert!(matches!(parse(&long), Err(ManifestError::Json(_))));
    let deep = "[".repeat(100_000);
    assert_eq!(Manifest::parse(deep.as_bytes()).unwrap_err().kind(), Kind::Malformed);
}
