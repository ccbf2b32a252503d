//! Owns the outer form of TUF metadata: `signed`, its canonical bytes, and the signatures over them.

use std::collections::BTreeMap;

use super::{MAX_BYTES, body::Body, body::Role, error::RootError, schema};
use crate::json::{Json, Map};

/// Most signatures that are looked at.
const MAX_SIGNATURES: usize = 64;

/// A document in the form TUF gives it; nothing inside `signed` is interpreted here.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    signed: Map,
    canonical: Vec<u8>,
    /// By the key id as stated, which may be of a kind that we do not know.
    signatures: BTreeMap<String, Vec<u8>>,
}

impl Envelope {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        if bytes.len() > MAX_BYTES {
            let (got, limit) = (bytes.len(), MAX_BYTES);
            return Err(RootError::TooLarge { got, limit });
        }
        let json: Json = serde_json::from_slice(bytes).map_err(RootError::Json)?;
        Self::read(json).map_err(|error| match error {
            RootError::Field { at, expected } => RootError::Envelope { at, expected },
            other => other,
        })
    }

    fn read(json: Json) -> Result<Self, RootError> {
        let mut outer = schema::map(json, "document")?;
        let signatures = signatures(outer.remove("signatures"))?;
        let signed = outer.remove("signed").unwrap_or(Json::Null);
        let canonical = signed.canonical();
        Ok(Self {
            signed: schema::map(signed, "signed")?,
            canonical,
            signatures,
        })
    }

    pub(super) fn signed(&self) -> Map {
        self.signed.clone()
    }

    pub(super) fn into_signatures(self) -> BTreeMap<String, Vec<u8>> {
        self.signatures
    }

    /// Asks whether enough of the root keys in `authority` signed these bytes.
    pub(super) fn require(&self, authority: &Body) -> Result<(), RootError> {
        let ring = authority.ring(Role::Root).expect("a root without root keys is refused");
        let counts = |stated: &String, signature: &Vec<u8>| {
            let key = stated.parse().ok().and_then(|id| ring.get(&id));
            let signature = signature.as_slice().try_into().ok();
            key.zip(signature)
                .is_some_and(|(key, sig)| key.signed(&self.canonical, sig))
        };
        let valid = self.signatures.iter().filter(|(id, sig)| counts(id, sig)).count();
        if valid < ring.threshold() {
            return Err(RootError::NotEnough {
                version: authority.version.into(),
                valid,
                needed: ring.threshold(),
            });
        }
        Ok(())
    }
}

fn signatures(json: Option<Json>) -> Result<BTreeMap<String, Vec<u8>>, RootError> {
    let list = schema::list(json.unwrap_or(Json::Null), "signatures")?;
    if list.len() > MAX_SIGNATURES {
        return Err(schema::field("signatures", "a list of at most 64 signatures"));
    }
    let mut out = BTreeMap::new();
    for item in list {
        let mut item = schema::map(item, "signatures[]")?;
        let id = schema::take_text(&mut item, "signatures[]", "keyid")?;
        let hex = schema::take_text(&mut item, "signatures[]", "sig")?;
        let signature = schema::hex(&hex).ok_or_else(|| schema::field("signatures[].sig", "lower-case hex"))?;
        if signature.is_empty() {
            return Err(RootError::EmptySignature(id));
        }
        if out.insert(id.clone(), signature).is_some() {
            return Err(RootError::DuplicateSignature(id));
        }
    }
    Ok(out)
}
