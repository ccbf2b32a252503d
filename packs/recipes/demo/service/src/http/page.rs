//! Owns the page: `start.html` and the words of a language, filled with escaped text; works without scripts.
//!
//! `{{name}}` in `start.html` becomes a word of `en.json` or `id.json`, the book's title, or the list of notes. The
//! files, a few kilobytes, are read at each request, so that what is served and what `/healthz` reports is what is on disk.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::{self, Query, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;

use super::{
    App,
    api::{Fault, checked},
    language,
    reply::Failure,
};
use crate::book::{Draft, Note};

/// The page that everything starts from.
const START: &str = "start.html";

/// A file of the pages is missing or makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("start page `{}` is missing", .0.display())]
    NoStart(PathBuf),
    #[error("could not read page `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not understand words `{}`", path.display())]
    Words { path: PathBuf, source: serde_json::Error },
}

/// Query of the start page.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    lang: Option<String>,
}

/// `GET /`: the form and all notes.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Html<String>, Failure> {
    show(&app, tongue(wish.lang.as_deref(), &headers), None).await.map(Html)
}

/// `POST /notes` from the form: back to the start page, or the page again with what was wrong.
pub(super) async fn sign(
    State(app): State<Arc<App>>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
    draft: Result<extract::Form<Draft>, FormRejection>,
) -> Result<Response, Failure> {
    let extract::Form(draft) = draft.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    match checked(&draft) {
        Ok(draft) => {
            app.with_book(move |book| book.add(&draft)).await?;
            Ok(Redirect::to("/").into_response())
        }
        Err(fault) => {
            let page = show(&app, tongue(wish.lang.as_deref(), &headers), Some((fault, draft))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response())
        }
    }
}

/// `GET /static/{name}`: a style sheet or a picture of the pages; names cannot leave the directory.
pub(super) async fn asset(
    State(app): State<Arc<App>>,
    extract::Path(name): extract::Path<String>,
) -> Result<Response, Failure> {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    let kind = match name.rsplit_once('.') {
        Some((stem, "css")) if !stem.contains('.') => "text/css; charset=utf-8",
        Some((stem, "svg")) if !stem.contains('.') => "image/svg+xml",
        _ => "",
    };
    if !plain || kind.is_empty() {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no `{name}` here"),
        ));
    }
    match fs::read(app.pages.join(&name)) {
        Ok(bytes) => Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response()),
        Err(_) => Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no `{name}` here"),
        )),
    }
}

/// Fails when the start page is not there.
pub(super) fn check(pages: &Path) -> Result<(), PageError> {
    template(pages).map(drop)
}

fn template(pages: &Path) -> Result<String, PageError> {
    let path = pages.join(START);
    fs::read_to_string(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PageError::NoStart(path),
        _ => PageError::Read { path, source },
    })
}

fn tongue(wish: Option<&str>, headers: &HeaderMap) -> &'static str {
    language::choose(
        wish,
        headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok()),
    )
}

async fn show(app: &Arc<App>, lang: &str, refused: Option<(Fault, Draft)>) -> Result<String, Failure> {
    let notes = app.with_book(|book| book.notes()).await?;
    let template = template(&app.pages).map_err(Failure::internal)?;
    let words = words(&app.pages, lang).map_err(Failure::internal)?;
    let mut values: BTreeMap<&str, String> = words.iter().map(|(key, word)| (&**key, escape(word))).collect();
    let (fault, draft) = refused.map_or((None, None), |(fault, draft)| (Some(fault), Some(draft)));
    values.insert("lang", lang.into());
    values.insert("title", escape(&app.config.title));
    values.insert("version", escape(app.version));
    values.insert(
        "author",
        draft.as_ref().map_or(String::new(), |draft| escape(&draft.author)),
    );
    values.insert(
        "text",
        draft.as_ref().map_or(String::new(), |draft| escape(&draft.text)),
    );
    values.insert("fault", fault.map_or(String::new(), |fault| fault_line(fault, &words)));
    values.insert("notes", list(&notes, &words));
    Ok(fill(&template, &values))
}

/// Reads the words of `lang`: a flat JSON object of strings.
fn words(pages: &Path, lang: &str) -> Result<BTreeMap<String, String>, PageError> {
    let path = pages.join(format!("{lang}.json"));
    let text = fs::read_to_string(&path).map_err(|source| PageError::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| PageError::Words { path, source })
}

fn word<'a>(words: &'a BTreeMap<String, String>, key: &'a str) -> &'a str {
    words.get(key).map_or(key, String::as_str)
}

fn fault_line(fault: Fault, words: &BTreeMap<String, String>) -> String {
    let key = match fault {
        Fault::Empty => "fault_empty",
        Fault::TextTooLong => "fault_text",
        Fault::AuthorTooLong => "fault_author",
    };
    format!("<p class=\"fault\" role=\"alert\">{}</p>", escape(word(words, key)))
}

fn list(notes: &[Note], words: &BTreeMap<String, String>) -> String {
    if notes.is_empty() {
        return format!("<p class=\"none\">{}</p>", escape(word(words, "no_notes")));
    }
    let mut html = String::from("<ol reversed>\n");
    for note in notes {
        let author = if note.author.is_empty() {
            word(words, "nobody")
        } else {
            &note.author
        };
        let when = note.created.as_deref().map_or(String::new(), |at| {
            let day = at.get(..10).unwrap_or(at);
            format!(" <time datetime=\"{}\">{}</time>", escape(at), escape(day))
        });
        writeln!(
            html,
            "<li id=\"note-{}\"><p>{}</p><footer>{}{when}</footer></li>",
            note.id,
            escape(&note.text),
            escape(author),
        )
        .expect("writing to a string succeeds");
    }
    html.push_str("</ol>");
    html
}

/// Replaces each `{{name}}` once, from left to right; a value is never looked at again. An unknown name stays visible.
fn fill(template: &str, values: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let known = after
            .split_once("}}")
            .and_then(|(name, tail)| Some((values.get(name)?, tail)));
        let (text, tail) = known.map_or(("{{", after), |(value, tail)| (value.as_str(), tail));
        out.push_str(text);
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Makes text harmless in HTML text and in quoted attributes.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{escape, fill};

    #[test]
    fn values_are_filled_once_and_never_read_as_a_template() {
        let values = BTreeMap::from([("a", "{{b}}".to_owned()), ("b", "two".to_owned())]);
        assert_eq!(fill("{{a}} {{b}} {{c}} {{", &values), "{{b}} two {{c}} {{");
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escape("<b a=\"1\" b='2'>&</b>"),
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;&lt;/b&gt;"
        );
    }
}
