//! Owns the protocol checks: the few bytes by which a server shows that it is what it should be, and serves.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Speak;

/// No greeting is longer.
const ENOUGH: usize = 512;

/// Says what the protocol starts with and looks at the answer.
pub(super) async fn speak(mut stream: TcpStream, speak: Speak) -> Result<(), String> {
    let io = |e: std::io::Error| e.kind().to_string();
    let (say, understand): (&[u8], Understand) = match speak {
        Speak::Nothing => return Ok(()),
        Speak::Postgres => (POSTGRES, postgres),
        Speak::Mysql => (b"", mysql),
        Speak::Redis => (b"*1\r\n$4\r\nPING\r\n", redis),
        Speak::Smtp => (b"", smtp),
        Speak::Fastcgi => (FASTCGI, fastcgi),
    };
    stream.write_all(say).await.map_err(io)?;
    let mut said = Vec::new();
    loop {
        match understand(&said) {
            Answer::Good => return Ok(()),
            Answer::Bad(why) => return Err(why),
            Answer::More if said.len() >= ENOUGH => return Err("the answer is too long".to_owned()),
            Answer::More => {}
        }
        let mut chunk = [0; ENOUGH];
        let n = stream.read(&mut chunk).await.map_err(io)?;
        if n == 0 {
            return Err("the connection was closed without an answer".to_owned());
        }
        said.extend_from_slice(&chunk[..n]);
    }
}

/// Reads the bytes so far.
type Understand = fn(&[u8]) -> Answer;

/// What the bytes so far mean.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    More,
    Good,
    Bad(String),
}

/// A startup packet of protocol 3.0 for user and database `postgres`. A server that is starting up or shutting down
/// answers with an error of class 57; one that asks for a password, or says no to this user, serves.
const POSTGRES: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";

fn postgres(said: &[u8]) -> Answer {
    match said.first() {
        None => Answer::More,
        Some(b'R') => Answer::Good,
        Some(b'E') => {
            let Some(length) = said.get(1..5).and_then(|l| l.try_into().ok()).map(u32::from_be_bytes) else {
                return Answer::More;
            };
            if said.len() < (length as usize + 1).min(ENOUGH) {
                return Answer::More;
            }
            let field = |kind: u8| said[5..].split(|b| *b == 0).find_map(|f| f.strip_prefix(&[kind]));
            match field(b'C') {
                Some(code) if code.starts_with(b"57") => {
                    let why = String::from_utf8_lossy(field(b'M').unwrap_or_default()).into_owned();
                    Answer::Bad(why)
                }
                _ => Answer::Good,
            }
        }
        Some(_) => Answer::Bad("the answer is not PostgreSQL".to_owned()),
    }
}

/// The server speaks first: a packet whose payload starts with protocol version 10, or an error that names a reason.
fn mysql(said: &[u8]) -> Answer {
    let Some(kind) = said.get(4) else { return Answer::More };
    match kind {
        10 => Answer::Good,
        0xff => {
            let why = String::from_utf8_lossy(said.get(7..).unwrap_or_default()).into_owned();
            Answer::Bad(why)
        }
        _ => Answer::Bad("the greeting is not MySQL".to_owned()),
    }
}

/// `+PONG`, or the wish for a password; a server that is loading its data says so.
fn redis(said: &[u8]) -> Answer {
    if !said.ends_with(b"\n") {
        return Answer::More;
    }
    if said.starts_with(b"+PONG") || said.starts_with(b"-NOAUTH") {
        return Answer::Good;
    }
    Answer::Bad(String::from_utf8_lossy(said).trim().to_owned())
}

fn smtp(said: &[u8]) -> Answer {
    if !said.contains(&b'\n') {
        return Answer::More;
    }
    if said.starts_with(b"220") {
        return Answer::Good;
    }
    Answer::Bad(
        String::from_utf8_lossy(said)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// `FCGI_GET_VALUES` for `FCGI_MPXS_CONNS`: every responder answers it without running a script.
const FASTCGI: &[u8] = b"\x01\x09\0\0\0\x11\0\0\x0f\0FCGI_MPXS_CONNS";

fn fastcgi(said: &[u8]) -> Answer {
    match said {
        [] | [_] => Answer::More,
        [1, 10, ..] => Answer::Good,
        _ => Answer::Bad("the answer is not FastCGI".to_owned()),
    }
}

/// The door of the fuzz target: what every protocol makes of the same bytes.
#[cfg(fuzzing)]
pub fn fuzzed(said: &[u8]) {
    let said = &said[..said.len().min(2 * ENOUGH)];
    for understand in [postgres, mysql, redis, smtp, fastcgi] {
        understand(said);
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, FASTCGI, POSTGRES, fastcgi, mysql, postgres, redis, smtp};

    #[test]
    fn the_packets_we_send_have_the_lengths_they_state() {
        assert_eq!(POSTGRES[..4], u32::try_from(POSTGRES.len()).unwrap().to_be_bytes());
        assert_eq!(usize::from(FASTCGI[5]), FASTCGI.len() - 8);
        assert_eq!(usize::from(FASTCGI[8]), FASTCGI.len() - 10);
    }

    #[test]
    fn a_database_that_is_starting_up_is_not_ready() {
        let mut error = b"E\0\0\0\0SFATAL\0C57P03\0Mthe database system is starting up\0\0".to_vec();
        let length = u32::try_from(error.len() - 1).unwrap();
        error[1..5].copy_from_slice(&length.to_be_bytes());
        assert_eq!(
            postgres(&error),
            Answer::Bad("the database system is starting up".to_owned())
        );
        assert_eq!(postgres(&error[..20]), Answer::More);
        let no_user = String::from_utf8(error).unwrap().replace("57P03", "28000");
        assert_eq!(postgres(no_user.as_bytes()), Answer::Good);
        assert_eq!(postgres(b"R\0\0\0\x17\0\0\0\x0a"), Answer::Good);
        assert!(matches!(postgres(b"HTTP/1.1"), Answer::Bad(_)));
    }

    #[test]
    fn greetings_are_told_apart() {
        assert_eq!(mysql(b"\x4a\0\0\0\x0a8.4.0"), Answer::Good);
        assert_eq!(
            mysql(b"\x10\0\0\0\xff\x10\x04Too many connections"),
            Answer::Bad("Too many connections".to_owned())
        );
        assert_eq!(redis(b"+PONG\r\n"), Answer::Good);
        assert_eq!(
            redis(b"-LOADING dataset\r\n"),
            Answer::Bad("-LOADING dataset".to_owned())
        );
        assert_eq!(
            (smtp(b"220 "), smtp(b"220 mail ESMTP\r\n")),
            (Answer::More, Answer::Good)
        );
        assert_eq!(smtp(b"554 no\r\n"), Answer::Bad("554 no".to_owned()));
        assert_eq!(fastcgi(b"\x01\x0a\0\0"), Answer::Good);
        assert!(matches!(fastcgi(b"HTTP"), Answer::Bad(_)));
    }
}
