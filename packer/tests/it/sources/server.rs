//! Owns a web server on this machine that misbehaves on order and remembers what it was asked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How one request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// All of it, or the part that was asked for.
    Good,
    /// All of it, whatever was asked for.
    Whole,
    /// The head of a good answer, then this many bytes, then nothing.
    Cut(usize),
    /// This many bytes, then silence.
    Stall(usize),
    /// This status and no body.
    Status(u16),
}

/// Answers in the given order; the last answer stays.
pub(super) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new(body: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (body, answers, log) = (body.to_vec(), answers.to_vec(), Arc::clone(&asked));
        // Ends with the test's process.
        thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let answer = answers[i.min(answers.len() - 1)];
                let (body, log) = (body.clone(), Arc::clone(&log));
                thread::spawn(move || serve(stream.unwrap(), &body, answer, &log));
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// `Range` of each request, `-` where there was none.
    pub(super) fn ranges(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, body: &[u8], answer: Answer, log: &Mutex<Vec<String>>) {
    let mut range = "-".to_owned();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line
            .split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("range"))
        {
            range.clear();
            range.push_str(value.trim());
        }
    }
    log.lock().unwrap().push(range.clone());
    let from = range
        .strip_prefix("bytes=")
        .and_then(|r| r.strip_suffix('-'))
        .and_then(|r| r.parse::<usize>().ok());
    let from = from.filter(|_| !matches!(answer, Answer::Whole));
    let (status, rest) = match (answer, from) {
        (Answer::Status(status), _) => (format!("{status} Sorry"), &body[..0]),
        (_, Some(from)) if from >= body.len() => ("416 No".to_owned(), &body[..0]),
        (_, Some(from)) => (
            format!(
                "206 Partial\r\nContent-Range: bytes {from}-{}/{}",
                body.len() - 1,
                body.len()
            ),
            &body[from..],
        ),
        (_, None) => ("200 OK".to_owned(), body),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"one\"\r\nConnection: close\r\n\r\n",
        rest.len()
    );
    let limit = match answer {
        Answer::Cut(n) | Answer::Stall(n) => n.min(rest.len()),
        _ => rest.len(),
    };
    // The client may hang up first; that is its affair.
    drop(
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&rest[..limit])),
    );
    drop(stream.flush());
    if matches!(answer, Answer::Stall(_)) {
        thread::sleep(Duration::from_secs(30));
    }
}
