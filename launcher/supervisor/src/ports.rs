//! Owns the ports of an install root: chosen once, remembered in `state/ports.json`, held until the service is started.
//!
//! Preferred (or asked for) → remembered → next free one in 20000 to 29999, below the range that Linux gives to outgoing
//! connections. A port counts as free if it can be bound on 127.0.0.1 and on `::1`. A pinned port never moves. Ports that
//! others prefer or were given are not handed out.
//!
//! *Limitations*: who holds a taken port is told on Linux only.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    platform::{self, Listening},
    stack::Stack,
};

const RANGE: std::ops::RangeInclusive<u16> = 20_000..=29_999;
const SCHEMA: &str = "kojibox.ports/1";

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It must not move, and is taken.
    #[error("port {port} of `{key}` is taken{owner}, and it is pinned")]
    Taken {
        /// `service.name`.
        key: String,
        /// The pinned number.
        port: u16,
        /// ` by …`, if the system tells.
        owner: String,
    },
    /// The system does not let us have it.
    #[error("port {port} of `{key}` cannot be used")]
    Denied {
        /// `service.name`.
        key: String,
        /// The pinned number.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// None is free.
    #[error("no port is free for `{0}` between 20000 and 29999")]
    None(String),
    /// The memory could not be kept.
    #[error(transparent)]
    File(#[from] FileError),
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: String,
    ports: BTreeMap<String, u16>,
}

/// One declared port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    prefer: u16,
    pin: bool,
}

/// All ports of an install root.
#[derive(Debug)]
pub struct Ports {
    path: PathBuf,
    wishes: BTreeMap<String, Wish>,
    remembered: BTreeMap<String, u16>,
}

/// Ports of one service, bound until they are let go.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) ports: BTreeMap<String, u16>,
    listeners: Vec<TcpListener>,
}

impl Ports {
    /// Reads what is remembered; `stack` says what is wanted.
    pub fn load(stack: &Stack) -> Result<Self, FileError> {
        let path = file(&stack.layout);
        let document: Option<Document> = files::read_json(&path)?;
        let mut wishes = BTreeMap::new();
        for (id, definition) in &stack.services {
            for (name, port) in &definition.service.ports {
                let key = format!("{id}.{name}");
                let asked = stack.generation.ports.get(&key).copied();
                let wish = Wish {
                    prefer: asked.unwrap_or(port.prefer),
                    pin: port.pin,
                };
                wishes.insert(key, wish);
            }
        }
        Ok(Self {
            path,
            wishes,
            remembered: document.map(|d| d.ports).unwrap_or_default(),
        })
    }

    /// Number of every port as far as it is decided: given, or else preferred.
    pub fn all(&self) -> BTreeMap<String, u16> {
        let number = |(key, wish): (&String, &Wish)| {
            let given = self.remembered.get(key).copied();
            (key.clone(), given.unwrap_or(wish.prefer))
        };
        self.wishes.iter().map(number).collect()
    }

    /// Chooses and holds the ports of a service. `avoid_last`: the last choice clashed, although it could be bound.
    pub(crate) fn hold(&mut self, service: &str, avoid_last: bool) -> Result<Held, PortError> {
        let prefix = format!("{service}.");
        let own: Vec<(String, Wish)> = self
            .wishes
            .iter()
            .filter(|(k, _)| k.starts_with(&prefix))
            .map(|(k, w)| (k.clone(), *w))
            .collect();
        let mut held = Held::default();
        let before = self.remembered.clone();
        for (key, wish) in own {
            let last = avoid_last.then(|| self.remembered.get(&key).copied()).flatten();
            let (port, listeners) = self.choose(&key, wish, last)?;
            held.listeners.extend(listeners);
            self.remembered.insert(key.clone(), port);
            held.ports.insert(key[prefix.len()..].to_owned(), port);
        }
        if self.remembered != before {
            self.save()?;
        }
        Ok(held)
    }

    fn choose(&self, key: &str, wish: Wish, avoid: Option<u16>) -> Result<(u16, Vec<TcpListener>), PortError> {
        if wish.pin {
            return bind(wish.prefer)
                .map(|l| (wish.prefer, l))
                .map_err(|e| refused(key, wish.prefer, e));
        }
        let others: BTreeSet<u16> = self
            .all()
            .into_iter()
            .filter(|(k, _)| k != key)
            .map(|(_, p)| p)
            .collect();
        let wished: BTreeSet<u16> = self
            .wishes
            .iter()
            .filter(|(k, _)| *k != key)
            .map(|(_, w)| w.prefer)
            .collect();
        let first = [Some(wish.prefer), self.remembered.get(key).copied()]
            .into_iter()
            .flatten();
        let free = RANGE.filter(|p| !wished.contains(p));
        let candidates = first.chain(free).filter(|p| Some(*p) != avoid && !others.contains(p));
        for port in candidates {
            if let Ok(listeners) = bind(port) {
                return Ok((port, listeners));
            }
        }
        Err(PortError::None(key.to_owned()))
    }

    /// Takes over what a running service was started with.
    pub(crate) fn adopt(&mut self, service: &str, ports: &BTreeMap<String, u16>) {
        for (name, port) in ports {
            self.remembered.insert(format!("{service}.{name}"), *port);
        }
    }

    fn save(&self) -> Result<(), FileError> {
        let document = Document {
            schema: SCHEMA.to_owned(),
            ports: self.remembered.clone(),
        };
        files::write_json(&self.path, &document)
    }
}

fn file(layout: &kojibox_state::Layout) -> PathBuf {
    layout.state().join("ports.json")
}

/// Binds the port on both loopback addresses; a system without IPv6 has only one.
fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut bound = Vec::new();
    for address in addresses {
        match TcpListener::bind((address, port)) {
            Ok(listener) => bound.push(listener),
            Err(e) if address.is_ipv6() && no_ipv6(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bound)
}

fn no_ipv6(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, Unsupported};
    matches!(error.kind(), AddrNotAvailable | Unsupported) || error.raw_os_error() == Some(platform::NO_FAMILY)
}

fn refused(key: &str, port: u16, source: io::Error) -> PortError {
    let key = key.to_owned();
    if source.kind() != io::ErrorKind::AddrInUse {
        return PortError::Denied { key, port, source };
    }
    PortError::Taken {
        key,
        port,
        owner: owner(port),
    }
}

/// ` by …`, if the system tells who listens.
pub(crate) fn owner(port: u16) -> String {
    match platform::listener(port) {
        Listening::By(owners) => match owners.first() {
            Some(owner) => format!(" by {owner}"),
            None => " by a process of another user".to_owned(),
        },
        Listening::Nobody | Listening::Unknown => String::new(),
    }
}

/// True if the file that remembers ports is there.
pub fn are_remembered(root: &Path) -> bool {
    file(&kojibox_state::Layout::new(root)).exists()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::TcpListener};

    use super::{PortError, Ports, Wish};

    fn ports(dir: &std::path::Path, wishes: &[(&str, u16, bool)]) -> Ports {
        let wish = |(key, prefer, pin): &(&str, u16, bool)| {
            (
                (*key).to_owned(),
                Wish {
                    prefer: *prefer,
                    pin: *pin,
                },
            )
        };
        Ports {
            path: dir.join("ports.json"),
            wishes: wishes.iter().map(wish).collect(),
            remembered: BTreeMap::new(),
        }
    }

    /// A port that someone else listens on.
    fn taken() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn a_taken_port_moves_and_stays_where_it_moved_while_it_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (other, port) = taken();
        let mut table = ports(dir.path(), &[("web.main", port, false)]);
        let moved = table.hold("web", false).unwrap().ports["main"];
        assert!(super::RANGE.contains(&moved) && moved != port);
        assert_eq!(table.hold("web", false).unwrap().ports["main"], moved);
        drop(other);
        assert_eq!(
            table.hold("web", false).unwrap().ports["main"],
            port,
            "the preferred one is free again"
        );
    }

    #[test]
    fn a_pinned_port_never_moves_and_its_owner_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (_other, port) = taken();
        let mut table = ports(dir.path(), &[("web.main", port, true)]);
        let error = table.hold("web", false).unwrap_err();
        assert!(matches!(error, PortError::Taken { port: p, .. } if p == port));
        let own = format!("(process {})", std::process::id());
        assert!(
            !cfg!(target_os = "linux") || error.to_string().contains(&own),
            "{error}"
        );
    }

    #[test]
    fn what_one_service_prefers_is_not_given_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let (_other, port) = taken();
        let mut table = ports(
            dir.path(),
            &[
                ("a.main", port, false),
                ("b.main", 20_000, false),
                ("c.main", 20_001, false),
            ],
        );
        let moved = table.hold("a", false).unwrap().ports["main"];
        assert!(moved > 20_001, "{moved}");
    }
}
