//! Owns the tests of trust roots as people keep them: the start, the growth to several keys, and what is refused on the way.

use std::fs;

use kojibox_signing::{
    PublicKey,
    root::{Role, TrustedRoot, fingerprint},
};
use serde_json::Value;

use crate::stock::Desk;

/// A publisher's start, and keys of two more people.
fn publisher() -> Desk {
    let desk = Desk::new();
    desk.packer("trust init --out mine").ok();
    for name in ["alice", "bob"] {
        desk.packer(&format!("key generate --out people --name {name}")).ok();
    }
    desk
}

fn show(desk: &Desk) -> Value {
    serde_json::from_str(&desk.packer("trust show mine --json").ok()).unwrap()
}

fn public(desk: &Desk, file: &str) -> PublicKey {
    PublicKey::from_openssh(&desk.read(file)).unwrap()
}

/// Three root keys of which two must sign, published as version 2.
fn two_of_three(desk: &Desk) {
    let edit = "--trust mine/root.json --role root";
    desk.packer(&format!("trust add-key {edit} people/alice.pub")).ok();
    desk.packer(&format!("trust add-key {edit} people/bob.pub")).ok();
    desk.packer(&format!("trust threshold {edit} 2 --key mine/root")).ok();
    desk.packer("trust sign --trust mine/root.json --key people/alice").ok();
}

#[test]
fn a_start_takes_one_command_and_is_never_repeated_over_itself() {
    let desk = Desk::new();
    let said = desk.packer("trust init --out mine").ok();
    assert_eq!(desk.list("mine").len(), 10, "{:?}", desk.list("mine"));
    let bytes = fs::read(desk.path("mine/root.json")).unwrap();
    let root = TrustedRoot::pin(&bytes).unwrap();
    assert_eq!(said.trim(), format!("fingerprint  {}", fingerprint(&bytes)));
    let pack = public(&desk, "mine/pack.pub").key_id();
    assert!(root.pack_ring().get(&pack).is_some() && root.name_of(&pack) == Some("pack"));
    let feed = public(&desk, "mine/feed.pub").key_id();
    assert!(
        Role::FEED
            .iter()
            .all(|role| root.ring(*role).unwrap().get(&feed).is_some())
    );
    assert_eq!(
        root.expires().unix_seconds() - root.issued().unix_seconds(),
        3652 * 86_400
    );

    let again = desk.packer("trust init --out mine").refused(2);
    assert!(
        again.starts_with("error: could not write `mine/root`: a file of this name exists\n"),
        "{again}"
    );
    assert_eq!(fs::read(desk.path("mine/root.json")).unwrap(), bytes);
}

#[test]
fn one_key_grows_to_two_of_three_and_the_first_can_leave() {
    let desk = publisher();
    two_of_three(&desk);
    let shown = show(&desk);
    assert_eq!(
        (&shown["version"], &shown["roles"]["root"]["threshold"]),
        (&2.into(), &2.into())
    );
    assert!(!desk.path("mine/2.root.draft.json").exists() && desk.path("mine/2.root.json").exists());

    // The first key alone can no longer change anything, and is not needed any more.
    let id = public(&desk, "mine/root.pub").fingerprint();
    desk.packer(&format!(
        "trust remove-key --trust mine/root.json --role root {id} --key mine/root"
    ))
    .ok();
    assert_eq!(show(&desk)["version"], 2);
    desk.packer("trust sign --trust mine/2.root.json --key people/alice")
        .ok();
    assert_eq!(
        show(&desk)["version"],
        2,
        "the old keys agree two to three, of the new only one of two does"
    );
    desk.packer("trust sign --trust mine/2.root.json --key people/bob").ok();
    let shown = show(&desk);
    assert_eq!((&shown["version"], &shown["draft"]), (&3.into(), &Value::Null));
    let names: Vec<_> = shown["roles"]["root"]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    assert!(names.len() == 2 && !names.contains(&&"root".into()), "{names:?}");
    assert_eq!(
        shown["fingerprint"],
        fingerprint(&fs::read(desk.path("mine/root.json")).unwrap())
    );
}

#[test]
fn a_draft_says_whose_signature_it_waits_for() {
    let desk = publisher();
    let edit = "--trust mine/root.json --role root";
    desk.packer(&format!("trust add-key {edit} people/alice.pub")).ok();
    let waiting = desk.packer(&format!("trust threshold {edit} 2 --key mine/root"));
    assert_eq!(waiting.code, 0, "{waiting:?}");
    let alice = public(&desk, "people/alice.pub").key_id().short();
    assert_eq!(
        waiting.err,
        format!(
            "The draft `mine/2.root.draft.json` waits for signatures.\n\
             Root keys of version 1: 1 of 1 needed signatures are there.\n\
             Root keys of version 2: 1 of 2 needed signatures are there; still able to sign: `{alice}`.\n"
        )
    );
    let draft = show(&desk)["draft"].clone();
    assert_eq!(
        draft[1]["waiting"][0],
        public(&desk, "people/alice.pub").key_id().to_string()
    );

    // Another change means other bytes: what was signed before counts no more.
    let changed = desk.packer("trust threshold --trust mine/root.json --role root 1");
    assert!(changed.err.contains("those signatures are dropped"), "{changed:?}");
    assert_eq!(show(&desk)["draft"][0]["signed"], Value::Array(vec![]));
}

#[test]
fn a_rotated_pack_key_leaves_the_allowed_signers() {
    let desk = publisher();
    let old = public(&desk, "mine/pack.pub");
    let prefix = &old.key_id().to_string()[..8];
    let rotate =
        format!("trust rotate --trust mine/root.json --role pack --old {prefix} people/alice.pub --key mine/root");
    desk.packer(&rotate).ok();
    desk.packer("trust add-key --trust mine/root.json --role approval people/bob.pub --key mine/root")
        .ok();
    let signers = desk.packer("key export --allowed-signers --trust mine/root.json").ok();
    let line = |file: &str| public(&desk, file).to_openssh("");
    assert_eq!(
        signers,
        format!(
            "publisher namespaces=\"kojibox-pack@v1\" {}\nsite namespaces=\"kojibox-site-approval@v1\" {}\n",
            line("people/alice.pub"),
            line("people/bob.pub"),
        )
    );
}

#[test]
fn changes_that_break_a_rule_leave_nothing_behind() {
    let desk = publisher();
    let before = desk.list("mine");
    let edit = |words: &str| desk.packer(&format!("trust {words} --trust mine/root.json"));
    let shared = edit("add-key --role pack mine/root.pub").refused(2);
    let id = public(&desk, "mine/root.pub").key_id().short();
    assert_eq!(
        shared,
        format!(
            "error: could not change the trust root in `mine/2.root.draft.json`\n  \
             caused by: key `{id}` has the roles `root` and `pack`; no key may serve two purposes\n  \
             hint: make a key of its own for each purpose with `kojibox-packer key generate`\n"
        )
    );
    let last = edit("remove-key --role pack mine/pack.pub").refused(2);
    assert!(last.contains("role `pack` asks for 1 of 0 keys"), "{last}");
    let high = edit("threshold --role feed 2").refused(2);
    assert!(high.contains("asks for 2 of 1 keys"), "{high}");
    let stranger = edit("threshold --role feed 1 --key people/alice").refused(2);
    assert!(
        stranger.contains("is a root key neither of this version nor of the one before"),
        "{stranger}"
    );
    let unknown = edit("remove-key --role root people/bob.pub").refused(2);
    assert!(unknown.contains("0 keys of this purpose are called so"), "{unknown}");
    let nothing = desk
        .packer("trust sign --trust mine/root.json --key mine/root")
        .refused(2);
    assert!(
        nothing.starts_with("error: could not find the draft of the next trust root"),
        "{nothing}"
    );
    assert_eq!(desk.list("mine"), before);
}

#[test]
fn a_chain_is_read_whole_or_not_at_all() {
    let desk = publisher();
    two_of_three(&desk);
    let second = fs::read(desk.path("mine/2.root.json")).unwrap();
    let tampered = String::from_utf8(second.clone())
        .unwrap()
        .replace("\"threshold\": 2", "\"threshold\": 1");
    desk.write("mine/2.root.json", tampered);
    let refused = desk.packer("trust show mine").refused(20);
    assert_eq!(
        refused,
        "error: could not use trust root `mine/2.root.json`\n  caused by: 0 of 1 needed signatures by the root keys of version 1 are valid\n"
    );
    desk.write("alone/2.root.json", &second);
    let alone = desk.packer("trust show alone/2.root.json").refused(2);
    assert!(
        alone.contains("it is version 2, and the versions before it are not beside it"),
        "{alone}"
    );
    // Another publisher's second version beside a first one is no chain.
    let over = desk.packer("trust init --out alone").refused(2);
    assert!(
        over.starts_with("error: could not write `alone/2.root.json`: a file of this name exists\n"),
        "{over}"
    );
    assert_eq!(desk.list("alone"), ["2.root.json"]);
    desk.packer("trust init --out other").ok();
    desk.write("other/2.root.json", &second);
    let foreign = desk.packer("trust show other").refused(20);
    assert!(
        foreign.starts_with("error: could not use trust root `other/2.root.json`\n"),
        "{foreign}"
    );
}

#[test]
fn a_published_version_is_never_replaced() {
    let desk = publisher();
    let edit = "trust threshold --trust mine/root.json --role pack 1";
    desk.packer(edit).ok();
    let draft = desk.read("mine/2.root.draft.json");
    desk.packer("trust sign --trust mine --key mine/root").ok();
    let published = desk.read("mine/2.root.json");
    // A draft that comes back late is for a version that exists.
    desk.write("mine/3.root.draft.json", draft);
    let stale = desk.packer("trust sign --trust mine --key mine/root").refused(2);
    assert!(stale.contains("it is for version 2, the next is 3"), "{stale}");
    assert_eq!(desk.read("mine/2.root.json"), published);
}
