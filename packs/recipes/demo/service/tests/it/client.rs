//! A plain HTTP/1.1 client that says exactly what a test wants said.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// Sends one request with exactly these header lines (and a length, if there is a body).
pub(crate) fn request(to: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = vec![format!("{line} HTTP/1.1"), "Connection: close".to_owned()];
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        lines.push(format!("Host: {to}"));
    }
    lines.extend(headers.iter().map(|header| (*header).to_owned()));
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let text = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a complete answer");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status line");
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Answer {
    request(to, &format!("GET {path}"), &[], "")
}

pub(crate) fn post_json(to: SocketAddr, author: &str, text: &str) -> Answer {
    let body = serde_json::json!({ "author": author, "text": text }).to_string();
    request(to, "POST /api/notes", &["Content-Type: application/json"], &body)
}

/// Sends the form of the page, percent-encoded as browsers do.
pub(crate) fn post_form(to: SocketAddr, author: &str, text: &str) -> Answer {
    let encode = |s: &str| {
        let bytes: Vec<String> = s.bytes().map(|b| format!("%{b:02X}")).collect();
        bytes.concat()
    };
    let body = format!("author={}&text={}", encode(author), encode(text));
    let headers = [
        "Content-Type: application/x-www-form-urlencoded",
        &format!("Origin: http://{to}"),
    ];
    request(to, "POST /notes", &headers, &body)
}
