//! Owns the content of a trust root: keys, roles, times, and the rules they must keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use super::{error::RootError, schema};
use crate::{
    KeyId, Keyring, PublicKey, UtcTime,
    json::{Json, Map, object},
};

/// The TUF that roots of ours follow.
const SPEC_VERSION: &str = "1.0.34";
/// Most keys in a root.
const MAX_KEYS: usize = 128;
/// The field of `signed` with the roles that TUF has no place for.
const OURS: &str = "x-kojibox";
const ISSUED: &str = "x-issued";
/// The field of a key with its name.
const NAME: &str = "x-name";

/// What keys of a root are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Signs roots.
    Root,
    /// Signs packs.
    Pack,
    /// Signs a site's approval of packs.
    Approval,
    /// Signs the list of packs in a feed.
    Targets,
    /// Signs which lists belong together in a feed.
    Snapshot,
    /// Signs that a feed is fresh.
    Timestamp,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::Pack,
        Self::Approval,
        Self::Targets,
        Self::Snapshot,
        Self::Timestamp,
    ];
    /// The roles of a feed; only these may share a key.
    pub const FEED: [Self; 3] = [Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The name in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Pack => "pack",
            Self::Approval => "approval",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    fn is_tufs_own(self) -> bool {
        !matches!(self, Self::Pack | Self::Approval)
    }

    fn may_share_with(self, other: Self) -> bool {
        self == other || (Self::FEED.contains(&self) && Self::FEED.contains(&other))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many of which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) threshold: u32,
    pub(super) keys: BTreeSet<KeyId>,
}

/// A key with the fields beside it that are not ours to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RootKey {
    pub(super) public: PublicKey,
    extra: Map,
}

/// Everything under `signed`. Fields we do not know are kept, since signatures cover them.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) version: u32,
    pub(super) issued: UtcTime,
    pub(super) expires: UtcTime,
    pub(super) keys: BTreeMap<KeyId, RootKey>,
    pub(super) roles: BTreeMap<Role, Members>,
    consistent_snapshot: bool,
    extra: Map,
    extra_ours: Map,
}

impl RootKey {
    pub(super) fn new(public: PublicKey, name: Option<&str>) -> Self {
        let name = name.filter(|name| !name.is_empty());
        let extra = name
            .map(|name| (NAME.to_owned(), Json::text(name)))
            .into_iter()
            .collect();
        Self { public, extra }
    }
}

impl Body {
    pub(super) fn new(version: u32, issued: UtcTime, expires: UtcTime) -> Self {
        Self {
            version,
            issued,
            expires,
            keys: BTreeMap::new(),
            roles: BTreeMap::new(),
            consistent_snapshot: true,
            extra: Map::new(),
            extra_ours: Map::new(),
        }
    }

    /// Reads `signed` and holds it to every rule.
    pub(super) fn parse(signed: Map) -> Result<Self, RootError> {
        let body = Self::read(signed)?;
        body.check()?;
        Ok(body)
    }

    /// Reads `signed`; the rules on thresholds and shared keys may still be broken, as in a draft.
    pub(super) fn read(mut signed: Map) -> Result<Self, RootError> {
        let at = "signed";
        if schema::take_text(&mut signed, at, "_type")? != "root" {
            return Err(schema::field("signed._type", "`root`"));
        }
        let spec = schema::take_text(&mut signed, at, "spec_version")?;
        if !spec.starts_with("1.") {
            return Err(RootError::SpecVersion(spec.chars().take(40).collect()));
        }
        let version = schema::take_count(&mut signed, at, "version")?;
        if version == 0 {
            return Err(schema::field("signed.version", "at least 1"));
        }
        let Some(Json::Bool(consistent_snapshot)) = signed.remove("consistent_snapshot") else {
            return Err(schema::field("signed.consistent_snapshot", "true or false"));
        };
        let (issued, expires) = (time(&mut signed, ISSUED)?, time(&mut signed, "expires")?);
        let keys = read_keys(schema::take_map(&mut signed, at, "keys")?)?;
        let mut tuf_roles = schema::take_map(&mut signed, at, "roles")?;
        let mut ours = schema::take_map(&mut signed, at, OURS)?;
        let mut roles = BTreeMap::new();
        for role in Role::ALL {
            let from = if role.is_tufs_own() { &mut tuf_roles } else { &mut ours };
            if let Some(json) = from.remove(role.as_str()) {
                roles.insert(role, read_members(role, json, &keys)?);
            }
        }
        if let Some(name) = tuf_roles.into_keys().next() {
            return Err(schema::field(format!("signed.roles.{name}"), "a role of TUF"));
        }
        Ok(Self {
            version,
            issued,
            expires,
            keys,
            roles,
            consistent_snapshot,
            extra: signed,
            extra_ours: ours,
        })
    }

    /// The rules: every role but approval is there, thresholds can be met, no key serves two purposes.
    pub(super) fn check(&self) -> Result<(), RootError> {
        if self.expires < self.issued {
            return Err(RootError::ExpiresFirst);
        }
        for role in Role::ALL {
            let Some(members) = self.roles.get(&role) else {
                if role == Role::Approval {
                    continue;
                }
                let parent = if role.is_tufs_own() { "roles" } else { OURS };
                return Err(schema::field(format!("signed.{parent}.{role}"), "there"));
            };
            let keys = members.keys.len();
            if usize::try_from(members.threshold).map_or(true, |n| n == 0 || n > keys) {
                let threshold = members.threshold;
                return Err(RootError::Threshold { role, threshold, keys });
            }
        }
        self.check_purposes()
    }

    fn check_purposes(&self) -> Result<(), RootError> {
        let mut purpose: BTreeMap<&KeyId, Role> = BTreeMap::new();
        for (&second, members) in &self.roles {
            for id in &members.keys {
                let first = *purpose.entry(id).or_insert(second);
                if !first.may_share_with(second) {
                    let id = *id;
                    return Err(RootError::SharedKey { id, first, second });
                }
            }
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Json {
        let members = |ours: bool| {
            let roles = self.roles.iter().filter(move |(role, _)| role.is_tufs_own() != ours);
            roles.map(|(role, members)| (role.to_string(), members.to_json()))
        };
        let keys = self.keys.iter().map(|(id, key)| (id.to_string(), key.to_json()));
        let mut ours = self.extra_ours.clone();
        ours.extend(members(true));
        let mut signed = self.extra.clone();
        signed.extend(object([
            ("_type", Json::text("root")),
            ("spec_version", Json::text(SPEC_VERSION)),
            ("version", Json::Int(self.version.into())),
            ("consistent_snapshot", Json::Bool(self.consistent_snapshot)),
            (ISSUED, Json::text(&self.issued)),
            ("expires", Json::text(&self.expires)),
            ("keys", Json::Map(keys.collect())),
            ("roles", Json::Map(members(false).collect())),
            (OURS, Json::Map(ours)),
        ]));
        Json::Map(signed)
    }

    pub(super) fn ring(&self, role: Role) -> Option<Keyring> {
        let members = self.roles.get(&role)?;
        let keys = members
            .keys
            .iter()
            .filter_map(|id| self.keys.get(id))
            .map(|key| key.public.clone());
        Keyring::new(usize::try_from(members.threshold).ok()?, keys).ok()
    }

    pub(super) fn name_of(&self, id: &KeyId) -> Option<&str> {
        match self.keys.get(id)?.extra.get(NAME)? {
            Json::Text(name) => Some(name),
            _ => None,
        }
    }
}

impl Members {
    fn to_json(&self) -> Json {
        let keys = self.keys.iter().map(Json::text).collect();
        Json::Map(object([
            ("keyids", Json::List(keys)),
            ("threshold", Json::Int(self.threshold.into())),
        ]))
    }
}

impl RootKey {
    fn to_json(&self) -> Json {
        let keyval = object([("public", Json::text(&self.public.to_hex()))]);
        let mut map = self.extra.clone();
        map.extend(object([
            ("keytype", Json::text("ed25519")),
            ("scheme", Json::text("ed25519")),
            ("keyval", Json::Map(keyval)),
        ]));
        Json::Map(map)
    }
}

fn time(signed: &mut Map, key: &str) -> Result<UtcTime, RootError> {
    let text = schema::take_text(signed, "signed", key)?;
    UtcTime::from_str(&text).map_err(|_| schema::field(format!("signed.{key}"), "a time like `2026-11-20T19:30:00Z`"))
}

fn read_keys(map: Map) -> Result<BTreeMap<KeyId, RootKey>, RootError> {
    if map.len() > MAX_KEYS {
        return Err(schema::field("signed.keys", "at most 128 keys"));
    }
    map.into_iter().map(|(stated, json)| read_key(&stated, json)).collect()
}

fn read_key(stated: &str, json: Json) -> Result<(KeyId, RootKey), RootError> {
    let shown: String = stated.chars().take(80).collect();
    let at = format!("signed.keys.{shown}");
    let mut extra = schema::map(json, &at)?;
    let kind = schema::take_text(&mut extra, &at, "keytype")?;
    let scheme = schema::take_text(&mut extra, &at, "scheme")?;
    if (kind.as_str(), scheme.as_str()) != ("ed25519", "ed25519") {
        return Err(schema::field(at, "a key of type and scheme `ed25519`"));
    }
    let mut keyval = schema::take_map(&mut extra, &at, "keyval")?;
    let public = schema::take_text(&mut keyval, &at, "public")?;
    if !keyval.is_empty() {
        return Err(schema::field(at, "a key with `keyval.public` only"));
    }
    let bytes = schema::hex(&public).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| schema::field(format!("{at}.keyval.public"), "64 lower-case hex digits"))?;
    let public = PublicKey::from_bytes(&bytes).map_err(|source| RootError::Key {
        id: shown.clone(),
        source,
    })?;
    let computed = public.key_id();
    if computed.to_string() != stated {
        let stated = shown;
        return Err(RootError::KeyId { stated, computed });
    }
    Ok((computed, RootKey { public, extra }))
}

fn read_members(role: Role, json: Json, held: &BTreeMap<KeyId, RootKey>) -> Result<Members, RootError> {
    let at = format!("role {role}");
    let mut map = schema::map(json, &at)?;
    let threshold = schema::take_count(&mut map, &at, "threshold")?;
    let mut keys = BTreeSet::new();
    for item in schema::list(map.remove("keyids").unwrap_or(Json::Null), &format!("{at}.keyids"))? {
        let Json::Text(stated) = item else {
            return Err(schema::field(format!("{at}.keyids"), "a list of texts"));
        };
        let known = stated.parse().ok().filter(|id| held.contains_key(id));
        let Some(id) = known else {
            let id = stated.chars().take(80).collect();
            return Err(RootError::MissingKey { role, id });
        };
        if !keys.insert(id) {
            return Err(RootError::DuplicateKey { role, id });
        }
    }
    Ok(Members { threshold, keys })
}
