//! Owns the HTTP check: one GET to this machine, status 200 to 399, nothing followed, nothing of the body read.

use std::fmt;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The status line is within the first bytes.
const HEAD: u64 = 1024;

/// `http://host:port/path` with a host of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    host: String,
    pub(crate) port: u16,
    path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        let plain = path.bytes().all(|b| b.is_ascii_graphic());
        (is_local(host) && plain).then(|| Self {
            host: authority.to_owned(),
            port,
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

/// True for names and addresses of the loopback interface; nothing else is ever asked.
pub(super) fn is_local(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]" | "::1" | "localhost" | "") || host.ends_with(".localhost")
}

pub(super) async fn get(mut stream: TcpStream, url: &Url) -> Result<(), String> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: kojibox-check\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path, url.host
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| e.kind().to_string())?;
    let mut head = Vec::new();
    let mut limited = (&mut stream).take(HEAD);
    while !head.contains(&b'\n') {
        let n = limited.read_buf(&mut head).await.map_err(|e| e.kind().to_string())?;
        if n == 0 {
            break;
        }
    }
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    status(&String::from_utf8_lossy(line))
}

fn status(line: &str) -> Result<(), String> {
    let mut words = line.split_ascii_whitespace();
    let protocol = words.next().unwrap_or_default();
    let code: Option<u16> = words.next().and_then(|c| c.parse().ok());
    match code.filter(|_| protocol.starts_with("HTTP/1.")) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("status {code}")),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Url, status};

    #[test]
    fn only_this_machine_is_asked() {
        let url = Url::parse("http://127.0.0.1:28080/healthz?x=1").unwrap();
        assert_eq!((url.port, url.path.as_str()), (28080, "/healthz?x=1"));
        assert_eq!(Url::parse("http://[::1]:81").unwrap().port, 81);
        for other in [
            "http://example.org/",
            "https://127.0.0.1/",
            "http://127.0.0.1.evil:80/",
            "http://10.0.0.1:80/",
            "http://127.0.0.1:80/a b",
        ] {
            assert_eq!(Url::parse(other), None, "{other}");
        }
    }

    #[test]
    fn redirects_count_and_errors_do_not() {
        assert!(status("HTTP/1.1 200 OK").is_ok() && status("HTTP/1.0 302 Found").is_ok());
        assert_eq!(status("HTTP/1.1 503 Down"), Err("status 503".to_owned()));
        assert!(status("220 mail ready").is_err());
    }
}
