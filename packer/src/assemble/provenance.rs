//! Owns the provenance statement of a pack: what went in, what came out, by which rules; nothing about host or clock.
//!
//! The statement is unsigned; the manifest, which is signed, states its hash.
//!
//! Source: in-toto Statement v1; SLSA Provenance v1.

use kojibox_packs::manifest::{Component, Compressor, Manifest};
use kojibox_signing::Digest;
use serde::Serialize;

/// Makes the statement, ending with a line break; `manifest` is complete but for the files beside it.
pub(super) fn statement(manifest: &Manifest, frame_max: u64) -> Vec<u8> {
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: manifest
            .components
            .iter()
            .map(|c| Subject::new(&c.blob.name, &c.blob.sha256))
            .collect(),
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: "urn:kojibox:build:1",
                external_parameters: External {
                    pack: &manifest.pack,
                    version: &manifest.version,
                    target: &manifest.target,
                    issued: &manifest.issued,
                    compressor: &manifest.compressor,
                    frame_max,
                },
                resolved_dependencies: manifest.components.iter().map(Dependency::of).collect(),
            },
            run_details: RunDetails {
                builder: Builder {
                    id: concat!("urn:kojibox:packer:", env!("CARGO_PKG_VERSION")),
                },
            },
        },
    };
    let mut bytes = serde_json::to_vec_pretty(&statement).expect("the statement has string keys and no failing parts");
    bytes.push(b'\n');
    bytes
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Subject>,
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Subject {
    name: String,
    digest: Sha256,
}

impl Subject {
    fn new(name: &str, sha256: &Digest) -> Self {
        Self {
            name: name.to_owned(),
            digest: Sha256 { sha256: *sha256 },
        }
    }
}

#[derive(Serialize)]
struct Sha256 {
    sha256: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: External<'a>,
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct External<'a> {
    pack: &'a str,
    version: &'a str,
    target: &'a str,
    issued: &'a str,
    compressor: &'a Compressor,
    frame_max: u64,
}

#[derive(Serialize)]
struct Dependency {
    name: String,
    uri: String,
    digest: Sha256,
}

impl Dependency {
    fn of(component: &Component) -> Self {
        let source = &component.upstream.source;
        let uri = super::purl::of_source(source).unwrap_or_else(|| source.clone());
        Self {
            name: component.id.clone(),
            uri,
            digest: Sha256 {
                sha256: component.upstream.sha256,
            },
        }
    }
}

#[derive(Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Serialize)]
struct Builder {
    id: &'static str,
}
