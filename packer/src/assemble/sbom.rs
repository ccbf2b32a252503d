//! Owns the SBOM of a pack: a `CycloneDX` 1.6 document with the hash of every component and of every file.
//!
//! The document is a pure function of the pack: no clock, no host, a serial number made from the content.
//!
//! Source: `CycloneDX` 1.6 JSON reference.

use std::fmt::Write as _;

use kojibox_packs::manifest::Component;
use kojibox_signing::Digest;
use serde::Serialize;

use super::purl;

/// What the SBOM says of the pack as a whole.
#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    pub(super) pack: &'a str,
    pub(super) version: &'a str,
    pub(super) target: &'a str,
    /// RFC 3339 in UTC.
    pub(super) issued: &'a str,
}

/// A component and what was found inside it.
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    pub(super) component: &'a Component,
    pub(super) files: &'a [FileHash],
    pub(super) packages: &'a [InnerPackage],
}

/// A file of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileHash {
    pub(super) path: String,
    pub(super) sha256: Digest,
}

/// A package found inside a component, e.g. below `node_modules`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InnerPackage {
    pub(super) purl: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
}

/// Makes the document, ending with a line break.
pub(super) fn document(subject: &Subject<'_>, listed: &[Listed<'_>]) -> Vec<u8> {
    let components: Vec<_> = listed.iter().map(part).collect();
    let mut dependencies = vec![Dependency {
        reference: "pack".to_owned(),
        depends_on: listed.iter().map(|l| reference(&l.component.id)).collect(),
    }];
    dependencies.extend(listed.iter().map(|l| Dependency {
        reference: reference(&l.component.id),
        depends_on: l.component.requires.iter().map(|id| reference(id)).collect(),
    }));
    let bom = Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial(subject, listed),
        version: 1,
        metadata: metadata(subject),
        components,
        dependencies,
    };
    let mut bytes = serde_json::to_vec(&bom).expect("the document has string keys and no failing parts");
    bytes.push(b'\n');
    bytes
}

fn reference(id: &str) -> String {
    format!("component:{id}")
}

fn metadata(subject: &Subject<'_>) -> Metadata {
    Metadata {
        timestamp: subject.issued.to_owned(),
        lifecycles: [Phase { phase: "build" }],
        tools: Tools {
            components: [Part::new(
                "application",
                "kojibox-packer",
                Some(env!("CARGO_PKG_VERSION")),
            )],
        },
        component: Part {
            bom_ref: Some("pack".to_owned()),
            properties: vec![Property::new("kojibox:target", subject.target)],
            ..Part::new("application", subject.pack, Some(subject.version))
        },
    }
}

fn part(listed: &Listed<'_>) -> Part {
    let c = listed.component;
    let packages = listed.packages.iter().map(|p| Part {
        purl: Some(p.purl.clone()),
        licenses: p.license.as_deref().map(named_license).into_iter().collect(),
        ..Part::new("library", &p.name, Some(&p.version))
    });
    let files = listed.files.iter().map(|f| Part {
        hashes: vec![Hash::sha256(&f.sha256)],
        ..Part::new("file", &f.path, None)
    });
    let mut properties = vec![
        Property::new("kojibox:tree_sha256", &c.tree_sha256.to_string()),
        Property::new("kojibox:blob", &c.blob.name),
        Property::new("kojibox:source", &c.upstream.source),
        Property::new("kojibox:source_sha256", &c.upstream.sha256.to_string()),
    ];
    if let Some(signature) = &c.upstream.signature {
        properties.push(Property::new("kojibox:source_signature", signature));
    }
    let is_url = c.upstream.source.contains("://");
    Part {
        bom_ref: Some(reference(&c.id)),
        hashes: vec![Hash::sha256(&c.blob.sha256)],
        licenses: (!c.license.is_empty())
            .then(|| License::Expression {
                expression: c.license.clone(),
            })
            .into_iter()
            .collect(),
        purl: purl::of_source(&c.upstream.source),
        external_references: is_url
            .then(|| Reference {
                kind: "distribution",
                url: c.upstream.source.clone(),
            })
            .into_iter()
            .collect(),
        properties,
        components: packages.chain(files).collect(),
        ..Part::new("application", &c.id, Some(&c.version))
    }
}

/// What packages say of their licence is not always an SPDX expression, so it is carried as a name.
fn named_license(name: &str) -> License {
    License::Named {
        license: Name { name: name.to_owned() },
    }
}

/// A version 8 UUID of what the document describes.
fn serial(subject: &Subject<'_>, listed: &[Listed<'_>]) -> String {
    let mut text = format!(
        "kojibox-sbom 1\n{}\n{}\n{}\n",
        subject.pack, subject.version, subject.target
    );
    for l in listed {
        writeln!(text, "{} {}", l.component.id, l.component.blob.sha256).expect("a string takes every text");
    }
    let mut bytes = *Digest::of(text.as_bytes()).as_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = Digest::from_bytes(bytes).to_string();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..32]
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Part>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    lifecycles: [Phase; 1],
    tools: Tools,
    component: Part,
}

#[derive(Serialize)]
struct Phase {
    phase: &'static str,
}

#[derive(Serialize)]
struct Tools {
    components: [Part; 1],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Part>,
}

impl Part {
    fn new(kind: &'static str, name: &str, version: Option<&str>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            version: version.map(str::to_owned),
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

impl Hash {
    fn sha256(digest: &Digest) -> Self {
        Self {
            alg: "SHA-256",
            content: digest.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum License {
    Expression { expression: String },
    Named { license: Name },
}

#[derive(Serialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

impl Property {
    fn new(name: &'static str, value: &str) -> Self {
        Self {
            name,
            value: value.to_owned(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}
