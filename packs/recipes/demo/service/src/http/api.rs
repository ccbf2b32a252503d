//! Owns the JSON interface, health and version.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{App, page, reply::Failure};
use crate::book::{Draft, Note};

/// Longest text of a note in characters.
const TEXT_MAX: usize = 2000;
/// Longest name of an author in characters.
const AUTHOR_MAX: usize = 80;

/// `GET /api/notes`: newest first.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<Note>>, Failure> {
    app.with_book(|book| book.notes()).await.map(Json)
}

/// `POST /api/notes` with `{"author": …, "text": …}`: 201 and the note.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    draft: Result<Json<Draft>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(draft) = draft.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    let draft = checked(&draft).map_err(|fault| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, fault.english()))?;
    let note = app.with_book(move |book| book.add(&draft)).await?;
    Ok((StatusCode::CREATED, Json(note)).into_response())
}

/// `DELETE /api/notes/{id}` with `Authorization: Bearer KEY`: 204.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !given
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|key| same(key, &app.admin_key))
    {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "only the administrator's key may delete",
        ));
    }
    if app.with_book(move |book| book.remove(id)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Failure::new(StatusCode::NOT_FOUND, format!("there is no note {id}")))
}

/// `GET /healthz`: 200 when the book can be read and the start page is there, else 503 and the reason.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let book = app
        .with_book(|book| book.check())
        .await
        .map_err(|failure| failure.reason);
    let state = match book.and_then(|()| page::check(&app.pages).map_err(|error| error.to_string())) {
        Ok(()) => (StatusCode::OK, json!({ "status": "ok" })),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "unavailable", "reason": reason }),
        ),
    };
    (state.0, Json(state.1)).into_response()
}

/// `GET /version`: the program's version and its data format.
pub(super) async fn version(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "version": app.version, "format": app.format.to_string() }))
}

/// Why a draft is not a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Empty,
    TextTooLong,
    AuthorTooLong,
}

impl Fault {
    /// For the JSON interface; the page has its own words in each language.
    fn english(self) -> String {
        match self {
            Self::Empty => "the text of a note must not be empty".into(),
            Self::TextTooLong => format!("the text of a note has at most {TEXT_MAX} characters"),
            Self::AuthorTooLong => format!("the name of an author has at most {AUTHOR_MAX} characters"),
        }
    }
}

/// Trims `draft` and checks its lengths.
pub(super) fn checked(draft: &Draft) -> Result<Draft, Fault> {
    let draft = Draft {
        author: draft.author.trim().to_owned(),
        text: draft.text.trim().to_owned(),
    };
    if draft.text.is_empty() {
        return Err(Fault::Empty);
    }
    if draft.text.chars().count() > TEXT_MAX {
        return Err(Fault::TextTooLong);
    }
    if draft.author.chars().count() > AUTHOR_MAX {
        return Err(Fault::AuthorTooLong);
    }
    Ok(draft)
}

/// Compares without telling by its duration where the first difference is.
fn same(given: &str, key: &str) -> bool {
    given.len() == key.len() && given.bytes().zip(key.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
