//! Owns the smallest HTTP client that the suites need: one request, one answer, loopback only.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{Failure, Outcome};

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Outcome<serde_json::Value> {
        serde_json::from_str(&self.body).map_err(Failure::doing(format!("could not understand `{}`", self.body)))
    }
}

/// Gets `path` from `port` of this machine.
pub fn get(port: u16, path: &str) -> Outcome<Answer> {
    request(port, "GET", path, "")
}

/// Posts `body` as JSON to `path`.
pub fn post(port: u16, path: &str, body: &serde_json::Value) -> Outcome<Answer> {
    request(port, "POST", path, &body.to_string())
}

fn request(port: u16, method: &str, path: &str, body: &str) -> Outcome<Answer> {
    exchange(port, method, path, body).map_err(Failure::doing(format!(
        "could not {method} `http://127.0.0.1:{port}{path}`"
    )))
}

fn exchange(port: u16, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Answer { status, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (len, tail) = rest.split_once("\r\n")?;
        let len = usize::from_str_radix(len.trim(), 16).ok()?;
        if len == 0 {
            return Some(body);
        }
        body.push_str(tail.get(..len)?);
        rest = tail.get(len..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn chunks_are_joined() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        let answer = parse(answer).map(|answer| (answer.status, answer.body));
        assert_eq!(answer, Some((200, "abc0123456789".to_owned())));
        assert!(
            parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").is_none(),
            "a cut answer"
        );
    }
}
