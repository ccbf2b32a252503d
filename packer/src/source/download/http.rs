//! Owns one `http:` or `https:` answer.

use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

use super::{
    Failure, MAX_BYTES, Partial,
    wire::{self, Answer, Broken},
};
use crate::source::Job;

/// Asks for the rest of the file and takes what comes.
pub(super) fn get(job: &Job<'_>, url: &str, partial: &mut Partial) -> Result<(), Failure> {
    let resume = partial.can_resume();
    if !resume && partial.len > 0 {
        partial.clear().map_err(Failure::Here)?;
    }
    let mut request = agent(job, url)?.get(url).header("Accept-Encoding", "identity");
    if resume {
        request = request.header("Range", format!("bytes={}-", partial.len));
        if let Some(tag) = &partial.tag {
            request = request.header("If-Range", tag);
        }
    }
    let answer = wire::ask(request)?;
    match answer.status.as_u16() {
        206 if resume && starts_at(&answer, partial.len) => {}
        200 => partial.clear().map_err(Failure::Here)?,
        416 => {
            partial.clear().map_err(Failure::Here)?;
            return Err(Failure::Again(
                "the server does not have the bytes that are missing".into(),
            ));
        }
        status @ (408 | 425 | 429 | 500..) => return Err(Failure::Again(format!("status {status}").into())),
        status => return Err(Failure::Gone(format!("status {status}").into())),
    }
    partial.tag = tag(&answer);
    receive(job, &answer, partial)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).and_then(|v| v.to_str().ok())
}

/// A strong tag: the same tag means the same bytes.
fn tag(answer: &Answer) -> Option<String> {
    header(answer, "etag").filter(|t| t.starts_with('"')).map(str::to_owned)
}

/// True if the answer holds the file from byte `at` on.
fn starts_at(answer: &Answer, at: u64) -> bool {
    let range = header(answer, "content-range").and_then(|r| r.strip_prefix("bytes "));
    let start = range
        .and_then(|r| r.split('-').next())
        .and_then(|s| s.parse::<u64>().ok());
    start == Some(at)
}

fn receive(job: &Job<'_>, answer: &Answer, partial: &mut Partial) -> Result<(), Failure> {
    let promised = header(answer, "content-length").and_then(|l| l.parse::<u64>().ok());
    let end = promised.map(|p| p.saturating_add(partial.len));
    if end.unwrap_or(0) > MAX_BYTES {
        return Err(Failure::Gone(format!("it has more than {MAX_BYTES} bytes").into()));
    }
    loop {
        match answer.next() {
            Ok(None) => break,
            Ok(Some(bytes)) => {
                partial.append(&bytes).map_err(Failure::Here)?;
                job.progress.add(bytes.len() as u64);
            }
            Err(Broken::Here(e)) => return Err(Failure::Here(e)),
            Err(Broken::Wire(e)) if e.kind() == std::io::ErrorKind::TimedOut || is_timeout(&e) => {
                return Err(Failure::Slow);
            }
            Err(Broken::Wire(source)) => {
                let got = partial.len;
                return Err(Failure::Again(Box::new(BrokenOff { got, end, source })));
            }
        }
    }
    match end {
        Some(end) if partial.len < end => {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            let got = partial.len;
            Err(Failure::Again(Box::new(BrokenOff {
                got,
                end: Some(end),
                source,
            })))
        }
        _ => Ok(()),
    }
}

/// An answer that ended too early.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off after {got} of {} bytes", end.map_or_else(|| "unknown".to_owned(), |e| e.to_string()))]
struct BrokenOff {
    got: u64,
    end: Option<u64>,
    source: std::io::Error,
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
}

fn agent(job: &Job<'_>, url: &str) -> Result<Agent, Failure> {
    let retry = job.env.retry;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("kojibox-packer/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .proxy(proxy(job, url)?)
        .timeout_connect(Some(retry.connect))
        .timeout_recv_response(Some(retry.connect))
        .timeout_recv_body(Some(retry.answer))
        .build();
    Ok(config.into())
}

/// The proxy that the person's environment names for `url`.
fn proxy(job: &Job<'_>, url: &str) -> Result<Option<ureq::Proxy>, Failure> {
    let var = |name: &str| {
        let lower = job.env.vars.get(name);
        let upper = || job.env.vars.get(&name.to_uppercase());
        let value = lower.or_else(upper).and_then(std::ffi::OsStr::to_str);
        value.filter(|v| !v.is_empty())
    };
    let authority = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let direct = matches!(host, "localhost" | "127.0.0.1" | "::1");
    if direct || var("no_proxy").is_some_and(|list| is_exempt(host, list)) {
        return Ok(None);
    }
    let scheme = if url.starts_with("https:") {
        "https_proxy"
    } else {
        "http_proxy"
    };
    match var(scheme).or_else(|| var("all_proxy")) {
        Some(address) => ureq::Proxy::new(address)
            .map(Some)
            .map_err(|e| Failure::Gone(Box::new(e))),
        None => Ok(None),
    }
}

/// True if `list` (`host`, `.domain`, `*`, separated by commas) names `host`.
fn is_exempt(host: &str, list: &str) -> bool {
    list.split(',').map(str::trim).filter(|e| !e.is_empty()).any(|entry| {
        let name = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*" || host == name || host.strip_suffix(name).is_some_and(|h| h.ends_with('.'))
    })
}
