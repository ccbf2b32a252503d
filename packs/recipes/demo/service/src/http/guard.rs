//! Owns who may ask: only pages of this server, reached by a loopback name.
//!
//! The exact `Host` list ends DNS rebinding, the `Origin` comparison ends forms of foreign pages that post here.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::reply::Failure;

/// Sent with every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Refuses foreign hosts and foreign origins, and closes the answers to scripts and frames.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refuse(request.method(), request.headers()) {
        Some(failure) => failure.into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(method: &Method, headers: &HeaderMap) -> Option<Failure> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Some(Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!("host `{host}` is not served here"),
        ));
    }
    let origin = text(header::ORIGIN).filter(|_| method != Method::GET)?;
    let own = origin.strip_prefix("http://").is_some_and(|origin| origin == host);
    (!own).then(|| Failure::new(StatusCode::FORBIDDEN, format!("requests from `{origin}` are refused")))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost") || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_names_are_served() {
        for good in ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "book.localhost:8080"] {
            assert!(is_loopback(good), "`{good}`");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "xlocalhost",
        ] {
            assert!(!is_loopback(bad), "`{bad}`");
        }
    }
}
