//! Owns the tests of trust roots: the rules of one, the chain of several, and how drafts become roots.

use kojibox_signing::{
    KeyId, Refusal, Signer as _,
    root::{Role, RootBuilder, RootError, TrustedRoot, fingerprint, root16},
};
use serde_json::{Value, json};

use crate::support::{FEED, PACK, ROOT, first_draft, first_root, hex, key};

fn id(n: u8) -> KeyId {
    key(n).public_key().key_id()
}

/// The first root with `change` made to `signed`, properly signed again by the root key.
fn crafted(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(&first_root()).unwrap();
    change(&mut root["signed"]);
    // Sorted keys and no white space; with ASCII text alone this is the canonical form.
    let message = serde_json::to_vec(&root["signed"]).unwrap();
    let signature = hex(&key(ROOT).sign(&message));
    root["signatures"] = json!([{ "keyid": id(ROOT), "sig": signature }]);
    serde_json::to_vec(&root).unwrap()
}

fn refused(change: impl FnOnce(&mut Value)) -> RootError {
    TrustedRoot::pin(&crafted(change)).expect_err("the root must be refused")
}

fn next(root: &TrustedRoot) -> RootBuilder {
    let time = |text: &str| text.parse().unwrap();
    RootBuilder::after(root, time("2027-01-01T00:00:00Z"), time("2037-01-01T00:00:00Z"))
}

/// `draft` signed by `signers`, whoever may.
fn sign(mut draft: RootBuilder, previous: &TrustedRoot, signers: &[u8]) -> Vec<u8> {
    for &n in signers {
        draft.sign(&key(n), Some(previous)).unwrap();
    }
    draft.to_bytes().unwrap()
}

#[test]
fn a_pinned_root_states_keys_times_and_names() {
    let root = TrustedRoot::pin(&first_root()).unwrap();
    assert_eq!((root.version(), root.pack_ring().threshold()), (1, 1));
    assert_eq!(root.pack_ring().get(&id(PACK)), Some(&key(PACK).public_key()));
    assert!(root.pack_ring().get(&id(FEED)).is_none() && root.approval_ring().is_none());
    assert_eq!(root.name_of(&id(ROOT)), Some("alice"));
    assert_eq!(
        (root.issued().as_str(), root.expires().as_str()),
        ("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z")
    );
    assert_eq!(root.bytes(), first_root());
    assert_eq!(root16(root.bytes()).len(), 16);
    assert!(fingerprint(root.bytes()).starts_with("SHA256:"));
}

#[test]
fn the_next_root_needs_the_old_keys_and_the_new() {
    let mut root = TrustedRoot::pin(&first_root()).unwrap();
    let mut draft = next(&root);
    draft.add_key(Role::Root, &key(2).public_key(), None);
    draft.remove_key(Role::Root, &id(ROOT)).unwrap();
    let old_only = sign(draft.clone(), &root, &[ROOT]);
    let new_only = sign(draft.clone(), &root, &[2]);
    let both = sign(draft, &root, &[ROOT, 2]);

    let by = |result: Result<(), RootError>| match result {
        Err(RootError::NotEnough { version, .. }) => version,
        other => panic!("not refused for a lack of signatures: {other:?}"),
    };
    assert_eq!(by(root.advance(&old_only)), 2, "the keys of version 2 did not sign");
    assert_eq!(by(root.advance(&new_only)), 1, "the keys of version 1 did not sign");
    assert_eq!(root.version(), 1, "a refusal changes nothing");
    root.advance(&both).unwrap();
    assert_eq!((root.version(), root.bytes()), (2, &both[..]));
    // From here on the first key has no say.
    let third = next(&root);
    assert!(third.clone().sign(&key(ROOT), Some(&root)).is_err());
    root.advance(&sign(third, &root.clone(), &[2])).unwrap();
    assert_eq!(root.version(), 3);
}

#[test]
fn versions_are_walked_one_by_one_and_never_back() {
    let first = TrustedRoot::pin(&first_root()).unwrap();
    let second = sign(next(&first), &first, &[ROOT]);
    let mut root = first.clone();
    root.advance(&second).unwrap();
    let third = sign(next(&root), &root, &[ROOT]);

    let version = |mut root: TrustedRoot, bytes: &[u8]| match root.advance(bytes) {
        Err(error @ RootError::Version { .. }) => (error.refusal(), error.to_string()),
        other => panic!("not refused for its version: {other:?}"),
    };
    let skipped = version(first, &third);
    assert_eq!(
        skipped,
        (Refusal::Replay, "the trust root has version 3, expected 2".into())
    );
    assert_eq!(version(root.clone(), &second).0, Refusal::Replay);
    assert_eq!(version(root, &first_root()).0, Refusal::Replay);
}

#[test]
fn a_root_on_the_way_may_have_expired_long_ago() {
    let mut root = TrustedRoot::pin(&first_root()).unwrap();
    let old = "2026-01-02T00:00:00Z".parse().unwrap();
    let expired = sign(RootBuilder::after(&root, old, old), &root, &[ROOT]);
    root.advance(&expired).unwrap();
    root.advance(&sign(next(&root), &root.clone(), &[ROOT])).unwrap();
    assert_eq!(root.version(), 3);
}

#[test]
fn two_of_three_means_two_distinct_keys() {
    let first = TrustedRoot::pin(&first_root()).unwrap();
    let mut draft = next(&first);
    draft.add_key(Role::Root, &key(2).public_key(), None);
    draft.add_key(Role::Root, &key(3).public_key(), None);
    draft.set_threshold(Role::Root, 2).unwrap();
    let one = sign(draft.clone(), &first, &[ROOT, ROOT]);
    let mut root = first.clone();
    assert!(matches!(
        root.advance(&one),
        Err(RootError::NotEnough {
            version: 2,
            valid: 1,
            needed: 2
        })
    ));
    root.advance(&sign(draft, &first, &[ROOT, 3])).unwrap();
    // The lost first key is replaced by the two others.
    let mut draft = next(&root);
    draft.remove_key(Role::Root, &id(ROOT)).unwrap();
    root.advance(&sign(draft, &root.clone(), &[2, 3])).unwrap();
    assert_eq!(root.ring(Role::Root).unwrap().keys().count(), 2);
}

#[test]
fn a_key_serves_one_purpose() {
    for (role, number) in [
        (Role::Pack, ROOT),
        (Role::Approval, PACK),
        (Role::Approval, ROOT),
        (Role::Snapshot, PACK),
        (Role::Root, FEED),
    ] {
        let mut draft = first_draft();
        draft.add_key(role, &key(number).public_key(), None);
        let error = draft.to_bytes().unwrap_err();
        assert!(matches!(error, RootError::SharedKey { .. }), "{role} {number}: {error}");
    }
    let shared = refused(|signed| signed["x-kojibox"]["pack"]["keyids"] = json!([id(FEED)]));
    assert!(matches!(shared, RootError::SharedKey { .. }), "{shared}");
}

#[test]
fn thresholds_and_key_lists_that_cannot_be_meant_are_refused() {
    let pack = |value: Value| move |signed: &mut Value| signed["x-kojibox"]["pack"] = value;
    let p = id(PACK);
    let cases = [
        refused(pack(json!({ "keyids": [p], "threshold": 0 }))),
        refused(pack(json!({ "keyids": [p], "threshold": 2 }))),
        refused(pack(json!({ "keyids": [], "threshold": 1 }))),
    ];
    assert!(
        cases
            .iter()
            .all(|error| matches!(error, RootError::Threshold { role: Role::Pack, .. })),
        "{cases:?}"
    );
    let twice = refused(pack(json!({ "keyids": [p, p], "threshold": 1 })));
    assert!(matches!(twice, RootError::DuplicateKey { .. }), "{twice}");
    let stranger = refused(pack(json!({ "keyids": [id(9)], "threshold": 1 })));
    assert!(matches!(stranger, RootError::MissingKey { .. }), "{stranger}");
    let none = refused(|signed| drop(signed["roles"].as_object_mut().unwrap().remove("snapshot")));
    assert_eq!(
        none.to_string(),
        "`signed.roles.snapshot` of the trust root is not there"
    );
    let own = refused(|signed| signed["roles"]["mirrors"] = json!({ "keyids": [], "threshold": 1 }));
    assert_eq!(
        own.to_string(),
        "`signed.roles.mirrors` of the trust root is not a role of TUF"
    );
}

#[test]
fn keys_must_be_what_their_id_says_and_strong() {
    let rename = |signed: &mut Value, from: KeyId, to: &str| {
        let key = signed["keys"]
            .as_object_mut()
            .unwrap()
            .remove(&from.to_string())
            .unwrap();
        signed["keys"][to] = key;
    };
    let liar = refused(|signed| rename(signed, id(PACK), &id(9).to_string()));
    assert!(matches!(liar, RootError::KeyId { .. }), "{liar}");
    let weak = refused(|signed| signed["keys"][id(PACK).to_string()]["keyval"]["public"] = json!("00".repeat(32)));
    assert!(matches!(weak, RootError::Key { .. }), "{weak}");
    let kind = refused(|signed| signed["keys"][id(PACK).to_string()]["keytype"] = json!("rsa"));
    assert!(
        kind.to_string().ends_with("is not a key of type and scheme `ed25519`"),
        "{kind}"
    );
}

#[test]
fn head_fields_have_one_accepted_form() {
    let field = |name: &'static str, value: Value| refused(move |signed| signed[name] = value).to_string();
    insta::assert_snapshot!(
        [
            field("_type", json!("targets")),
            field("spec_version", json!("2.0.0")),
            field("version", json!(0)),
            field("version", json!("1")),
            field("version", json!(4_294_967_296_u64)),
            field("expires", json!("2036-01-01")),
            field("expires", json!("2025-01-01T00:00:00Z")),
            field("x-issued", json!("now")),
            field("consistent_snapshot", json!(1)),
            field("x-kojibox", json!([])),
        ]
        .join("\n"),
        @r"
    `signed._type` of the trust root is not `root`
    the trust root follows TUF `2.0.0`, expected 1.x
    `signed.version` of the trust root is not at least 1
    `signed.version` of the trust root is not a whole number of 32 bits
    `signed.version` of the trust root is not a whole number of 32 bits
    `signed.expires` of the trust root is not a time like `2026-11-20T19:30:00Z`
    the trust root expires before it is issued
    `signed.x-issued` of the trust root is not a time like `2026-11-20T19:30:00Z`
    `signed.consistent_snapshot` of the trust root is not true or false
    `signed.x-kojibox` of the trust root is not an object
    "
    );
}

#[test]
fn signatures_are_counted_by_key_and_strange_ones_are_ignored() {
    let with = |extra: Value| {
        let mut root: Value = serde_json::from_slice(&first_root()).unwrap();
        root["signatures"].as_array_mut().unwrap().push(extra);
        TrustedRoot::pin(&serde_json::to_vec(&root).unwrap())
    };
    assert!(with(json!({ "keyid": "of another kind", "sig": "00" })).is_ok());
    assert!(with(json!({ "keyid": id(9), "sig": "00".repeat(64) })).is_ok());
    let empty = with(json!({ "keyid": id(9), "sig": "" })).unwrap_err();
    assert!(matches!(empty, RootError::EmptySignature(_)), "{empty}");
    let twice = with(json!({ "keyid": id(ROOT), "sig": "00".repeat(64) })).unwrap_err();
    assert!(matches!(twice, RootError::DuplicateSignature(_)), "{twice}");
    let form = with(json!({ "keyid": id(9), "sig": "0" })).unwrap_err();
    assert_eq!(form.refusal(), Refusal::Unsigned, "{form}");
}

#[test]
fn text_that_two_readers_could_read_differently_is_refused() {
    let text = String::from_utf8(first_root()).unwrap();
    let doubled = text.replacen("\"_type\"", "\"version\": 7, \"_type\"", 1);
    assert!(matches!(TrustedRoot::pin(doubled.as_bytes()), Err(RootError::Json(_))));
    let followed = format!("{text} {{}}");
    assert!(matches!(TrustedRoot::pin(followed.as_bytes()), Err(RootError::Json(_))));
    let huge = format!("{text}{}", " ".repeat(64 * 1024));
    assert!(matches!(
        TrustedRoot::pin(huge.as_bytes()),
        Err(RootError::TooLarge { .. })
    ));
}

#[test]
fn fields_of_later_versions_are_signed_and_kept() {
    let bytes = crafted(|signed| {
        signed["x-later"] = json!({ "z": [1, null] });
        signed["x-kojibox"]["later"] = json!(true);
        signed["keys"][id(PACK).to_string()]["x-place"] = json!("safe");
    });
    let root = TrustedRoot::pin(&bytes).unwrap();
    let following: Value = serde_json::from_slice(&sign(next(&root), &root, &[ROOT])).unwrap();
    let signed = &following["signed"];
    assert_eq!(signed["x-later"], json!({ "z": [1, null] }));
    assert_eq!(signed["x-kojibox"]["later"], json!(true));
    assert_eq!(signed["keys"][id(PACK).to_string()]["x-place"], json!("safe"));
}

#[test]
fn a_draft_travels_collects_signatures_and_forgets_them_when_changed() {
    let root = TrustedRoot::pin(&first_root()).unwrap();
    let mut draft = next(&root);
    draft.add_key(Role::Root, &key(2).public_key(), Some("bob"));
    draft.set_threshold(Role::Root, 2).unwrap();
    draft.sign(&key(ROOT), Some(&root)).unwrap();
    let mut draft = RootBuilder::from_draft(&draft.to_bytes().unwrap()).unwrap();
    let progress = draft.progress(Some(&root));
    assert_eq!(
        progress.iter().map(|p| (p.version, p.is_met())).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
    assert_eq!(
        (progress[1].signed.as_slice(), progress[1].waiting.as_slice()),
        (&[id(ROOT)][..], &[id(2)][..])
    );
    draft.sign(&key(2), Some(&root)).unwrap();
    assert!(
        draft
            .progress(Some(&root))
            .iter()
            .all(kojibox_signing::root::Progress::is_met)
    );
    root.clone().advance(&draft.to_bytes().unwrap()).unwrap();

    draft.add_key(Role::Pack, &key(PACK + 1).public_key(), None);
    assert!(
        draft.progress(Some(&root)).iter().all(|p| p.signed.is_empty()),
        "they covered something else"
    );
}

#[test]
fn a_draft_says_which_rule_it_breaks() {
    let mut draft = first_draft();
    assert!(matches!(
        draft.remove_key(Role::Pack, &id(9)),
        Err(RootError::NoSuchKey { .. })
    ));
    assert!(matches!(
        draft.set_threshold(Role::Approval, 1),
        Err(RootError::Threshold { keys: 0, .. })
    ));
    assert!(matches!(draft.sign(&key(PACK), None), Err(RootError::NotARootKey(_))));
    draft.remove_key(Role::Pack, &id(PACK)).unwrap();
    assert_eq!(
        draft.to_bytes().unwrap_err().to_string(),
        "role `pack` asks for 1 of 0 keys, expected between 1 and the number of keys"
    );
}
