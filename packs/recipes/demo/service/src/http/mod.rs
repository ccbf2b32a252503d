//! Owns the HTTP side: routes, the shared state, start and graceful end.

mod api;
mod guard;
mod language;
mod page;
mod reply;

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post},
};
use tokio::net::TcpListener;

use crate::{
    book::{Book, BookError, Format},
    cli::{Serve, say},
    config::{Config, admin_key},
    platform::stop_signal,
};

/// Longest body of a request in bytes.
const BODY_MAX: usize = 32 * 1024;

/// What every handler sees.
pub(crate) struct App {
    version: &'static str,
    format: Format,
    book: Mutex<Book>,
    pages: PathBuf,
    config: Config,
    admin_key: String,
}

impl App {
    /// Does `work` with the book on a thread that may block.
    async fn with_book<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, reply::Failure> {
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&mut app.lock())).await;
        done.map_err(reply::Failure::internal)?
            .map_err(reply::Failure::internal)
    }

    /// A panic while the book is held cannot break it: `SQLite` rolls the transaction back.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listener could not be had, or failed.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("could not listen on `{address}`")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the server ended")]
    Run(#[from] std::io::Error),
}

/// Serves until asked to stop; requests that have begun are answered.
pub(crate) fn serve(version: &'static str, format: Format, args: &Serve, config: Config) -> Result<(), Box<dyn Error>> {
    let app = Arc::new(App {
        version,
        format,
        book: Mutex::new(Book::open(&args.data, format)?),
        pages: args.pages.clone(),
        admin_key: admin_key(&args.admin_key_file)?,
        config,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Run)?;
    Ok(runtime.block_on(run(app))?)
}

async fn run(app: Arc<App>) -> Result<(), ServeError> {
    let stop = stop_signal()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, app.config.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    say(&format!(
        "Guest book {} serves http://{}/.",
        app.version,
        listener.local_addr()?
    ))?;
    axum::serve(listener, router(app))
        .with_graceful_shutdown(async {
            let how = stop.recv().await;
            // A closed stdout must not keep the service from ending.
            drop(say(&format!("Stopping: {how}.")));
        })
        .await?;
    say("Stopped.")?;
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::start))
        .route("/notes", post(page::sign))
        .route("/static/{name}", get(page::asset))
        .route("/api/notes", get(api::list).post(api::add))
        .route("/api/notes/{id}", delete(api::remove))
        .route("/healthz", get(api::health))
        .route("/version", get(api::version))
        .layer(middleware::from_fn(guard::guard))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(app)
}
