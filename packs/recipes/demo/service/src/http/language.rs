//! Owns the choice of the page's language.

/// Languages of the pages; the first is the fallback.
const KNOWN: [&str; 2] = ["en", "id"];

/// Chooses by an explicit wish, else by `Accept-Language` (RFC 9110, 12.5.4), else English.
pub(super) fn choose(wish: Option<&str>, accept: Option<&str>) -> &'static str {
    if let Some(known) = wish.and_then(known) {
        return known;
    }
    let mut best = (KNOWN[0], 0.0_f32);
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';');
        let language = parts.next().unwrap_or_default().trim();
        let q = parts
            .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
            .unwrap_or(1.0);
        if let Some(language) = known(language).filter(|_| q > best.1) {
            best = (language, q);
        }
    }
    best.0
}

/// `id-ID` is Indonesian, and so is the tag `in` that old systems send.
fn known(tag: &str) -> Option<&'static str> {
    let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let primary = if primary == "in" { "id" } else { &primary };
    KNOWN.into_iter().find(|known| *known == primary)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_best_known_language_wins() {
        for (wish, accept, expected) in [
            (None, None, "en"),
            (None, Some("id"), "id"),
            (None, Some("id-ID,id;q=0.9,en;q=0.8"), "id"),
            (None, Some("en;q=0.5, id;q=0.9"), "id"),
            (None, Some("de, fr;q=0.9"), "en"),
            (None, Some("id;q=0, en;q=0.1"), "en"),
            (None, Some("in"), "id"),
            (Some("id"), Some("en"), "id"),
            (Some("xx"), Some("id"), "id"),
        ] {
            assert_eq!(choose(wish, accept), expected, "{wish:?} {accept:?}");
        }
    }
}
