//! Owns `state/receipts/`: one document per transaction, each naming the digest of the one before it.
//!
//! The number in front of a transaction's id orders them: clocks do not.

use kojibox_signing::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    doc::{self, Versioned},
    error::StateError,
    journal::TxKind,
    layout::place,
    path::RootPath,
    store::{FileMode, Kind, RootDir, Store, compose},
};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxOutcome {
    /// Done as intended.
    Done,
    /// Committed; the process ended before its gate had passed.
    Unconfirmed,
    /// The gate failed; the generation before is active again, or none if there was none.
    Returned,
    /// Interrupted before the commit; the generation before stayed active.
    Undone,
}

/// What a transaction did, who vouched for it, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// `kojibox.receipt/1`.
    pub schema: String,
    /// The transaction.
    pub txid: String,
    /// What it was for.
    pub kind: TxKind,
    /// How it ended.
    pub outcome: TxOutcome,
    /// Why it did not end as intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Command line, without secrets.
    pub command: String,
    /// RFC 3339, UTC, by this machine's clock.
    pub started: String,
    /// RFC 3339, UTC, by this machine's clock.
    pub finished: String,
    /// Active generation before.
    pub from: Option<u64>,
    /// Active generation after.
    pub to: Option<u64>,
    /// Packs of the generation that was made or activated.
    #[serde(default)]
    pub packs: Vec<ReceiptPack>,
    /// Every verdict, in order.
    #[serde(default)]
    pub verdicts: Vec<ReceiptVerdict>,
    /// Bytes by origin.
    #[serde(default)]
    pub bytes: ReceiptBytes,
    /// What the reader should know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The receipt before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Link>,
}

/// Names the receipt before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its transaction.
    pub txid: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// One pack and who vouched for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptPack {
    /// Pack id.
    pub name: String,
    /// Version.
    pub version: String,
    /// Target.
    pub target: String,
    /// Sequence number.
    pub sequence: u64,
    /// SHA-256 of the manifest.
    pub digest: Digest,
    /// SHA-256 of the SBOM, as the manifest states it.
    pub sbom_sha256: Digest,
    /// Publisher.
    pub root16: String,
    /// Version of the publisher's root.
    pub root_version: u64,
    /// Keys whose signatures counted.
    pub keys: Vec<String>,
    /// Keys whose approval counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
}

/// One decision and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptVerdict {
    /// What was decided.
    pub check: String,
    /// `passed`, `warned` or `allowed`.
    pub outcome: String,
    /// Why.
    pub detail: String,
}

/// Where the bytes of new trees came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBytes {
    /// Read from the medium.
    pub read: u64,
    /// Found in the staging directory of an interrupted attempt, and verified again.
    pub resumed: u64,
    /// Taken from installed trees, and verified again.
    pub reused: u64,
}

impl Versioned for Receipt {
    const SCHEMA: &'static str = "kojibox.receipt/1";
    const MAX_BYTES: u64 = 4 << 20;
}

impl Receipt {
    /// The digest that the next receipt names.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

/// The number in front of a transaction's id.
pub fn number_of(txid: &str) -> Option<u64> {
    let (number, rest) = txid.split_once('-')?;
    let ok = number.len() >= 6 && rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    number.parse().ok().filter(|_| ok)
}

/// A new transaction id: the next number, and eight random digits so that two roots never share one.
pub fn next_txid(root: &RootDir, in_journal: Option<&str>) -> Result<String, StateError> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(StateError::Random)?;
    let last = txids(root)?.last().and_then(|name| number_of(name));
    let highest = last.max(in_journal.and_then(number_of)).unwrap_or(0);
    Ok(format!("{:06}-{:08x}", highest + 1, u32::from_be_bytes(random)))
}

/// Transactions that have a receipt, by number, whether it can be read or not.
pub fn txids(root: &RootDir) -> Result<Vec<String>, StateError> {
    let listed = root.list(&place::receipts())?;
    let mut names: Vec<String> = listed
        .into_iter()
        .filter(|e| e.kind == Kind::File)
        .filter_map(|e| e.name.ok()?.strip_suffix(".json").map(str::to_owned))
        .filter(|name| number_of(name).is_some())
        .collect();
    names.sort_by_key(|name| number_of(name));
    Ok(names)
}

/// The receipt before the next one.
pub fn last_link(root: &RootDir) -> Result<Option<Link>, StateError> {
    let Some(txid) = txids(root)?.pop() else {
        return Ok(None);
    };
    let bytes = root.read(&place::receipt(&txid), Receipt::MAX_BYTES)?;
    Ok(bytes.map(|bytes| Link {
        txid,
        sha256: Digest::of(&bytes),
    }))
}

/// The newest receipt, without a look at the others.
pub fn newest(root: &RootDir) -> Result<Option<Receipt>, StateError> {
    match txids(root)?.pop() {
        Some(txid) => doc::read(root, &place::receipt(&txid)),
        None => Ok(None),
    }
}

/// The receipts that can be read, oldest first, whatever their chain says: for those who must go on beside a damaged one.
pub fn readable(root: &RootDir) -> Result<Vec<Receipt>, StateError> {
    let mut out = Vec::new();
    for txid in txids(root)? {
        match doc::read::<Receipt>(root, &place::receipt(&txid)) {
            Ok(found) => out.extend(found.filter(|receipt| receipt.txid == txid)),
            Err(error) if error.is_damage() || matches!(error, StateError::Schema { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// Gives `receipt` its file, durable when it returns; one that is there already is left alone.
pub fn publish(store: &dyn Store, receipt: &Receipt) -> Result<(), StateError> {
    if compose::create_dirs(store, &place::receipts())? {
        // The journal is emptied after this: without its directory the first receipt would go with a power cut.
        store.sync_dir(&place::state())?;
    }
    let path = place::receipt(&receipt.txid);
    if store.root().exists(&path)? {
        return Ok(store.sync_dir(&place::receipts())?);
    }
    compose::replace_file(store, &path, &receipt.to_bytes(), FileMode::ReadOnly)?;
    Ok(())
}

/// All receipts, oldest first, each with the digest of its bytes, after their chain has been followed.
///
/// # Errors
/// [`StateError::Chain`] if one does not name the one before it.
pub fn history(root: &RootDir) -> Result<Vec<(Receipt, Digest)>, StateError> {
    let mut out: Vec<(Receipt, Digest)> = Vec::new();
    for txid in txids(root)? {
        let path = place::receipt(&txid);
        let Some(bytes) = root.read(&path, Receipt::MAX_BYTES)? else {
            continue;
        };
        let receipt: Receipt = doc::parse(root, &path, &bytes)?;
        follow(root, &path, &receipt, &txid, out.last())?;
        out.push((receipt, Digest::of(&bytes)));
    }
    Ok(out)
}

fn follow(
    root: &RootDir,
    path: &RootPath,
    receipt: &Receipt,
    txid: &str,
    before: Option<&(Receipt, Digest)>,
) -> Result<(), StateError> {
    let expected = before.map(|(r, sha256)| Link {
        txid: r.txid.clone(),
        sha256: *sha256,
    });
    let told = |link: &Option<Link>| {
        link.as_ref().map_or("none".to_owned(), |l| {
            format!("`{}` with sha256 `{}`", l.txid, l.sha256)
        })
    };
    let why = if receipt.txid != txid {
        format!("it is the receipt of `{}`", receipt.txid.escape_debug())
    } else if receipt.previous != expected {
        format!(
            "the one before is {}, it names {}",
            told(&expected),
            told(&receipt.previous)
        )
    } else {
        return Ok(());
    };
    Err(StateError::Chain {
        path: path.below(root.path()),
        why,
    })
}
