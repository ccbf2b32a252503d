//! Owns the Rust client of the installed PostgreSQL: 10,000 rows that can be recognised.

use std::{
    fmt::Write as _,
    io::Write as _,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use kojibox_tests::{Failure, Outcome, ensure};
use postgres::{Client, Config, NoTls};

/// Rows that are written.
const ROWS: i64 = 10_000;

/// A connection with a password, as any client of the stack has it.
pub(crate) struct Database {
    client: Client,
}

impl Database {
    pub(crate) fn connect(port: u16, password: &str) -> Outcome<Self> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user("postgres")
            .password(password)
            .dbname("postgres");
        config.connect_timeout(Duration::from_secs(10));
        let client = config
            .connect(NoTls)
            .map_err(Failure::doing("could not connect to the database"))?;
        let mut wrong = config.clone();
        let refused = wrong.password("not the password").connect(NoTls).is_err();
        ensure(refused, || "the database takes any password".into())?;
        Ok(Self { client })
    }

    /// `select 1`.
    pub(crate) fn expect_one(&mut self) -> Outcome {
        let row = self
            .client
            .query_one("select 1", &[])
            .map_err(Failure::doing("could not `select 1`"))?;
        let one: i32 = row.get(0);
        ensure(one == 1, || format!("`select 1` gives {one}"))
    }

    /// Name and version of the server.
    pub(crate) fn version(&mut self) -> Outcome<String> {
        let row = self
            .client
            .query_one("select version()", &[])
            .map_err(Failure::doing("could not ask for the version"))?;
        let version: String = row.get(0);
        Ok(version.split(" on ").next().unwrap_or(&version).to_owned())
    }

    /// Makes the table and copies the rows into it.
    pub(crate) fn fill(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        let mut lines = String::new();
        for id in 0..ROWS {
            writeln!(lines, "{id}\t{}", text(id)).expect("writing to a string succeeds");
        }
        let mut tx = self.client.transaction().map_err(Failure::doing("could not begin"))?;
        tx.batch_execute("create table kept (id bigint primary key, text text not null)")
            .map_err(Failure::doing("could not make a table"))?;
        let mut copy = tx
            .copy_in("copy kept from stdin")
            .map_err(Failure::doing("could not copy"))?;
        copy.write_all(lines.as_bytes())
            .map_err(Failure::doing("could not copy"))?;
        copy.finish().map_err(Failure::doing("could not copy"))?;
        tx.commit().map_err(Failure::doing("could not commit"))?;
        self.expect_rows()?;
        Ok(began.elapsed())
    }

    /// Makes a table whose ids come from a sequence, with three rows.
    pub(crate) fn fill_notes(&mut self) -> Outcome {
        let made = self
            .client
            .batch_execute("create table notes (id bigserial primary key, text text not null)");
        made.map_err(Failure::doing("could not make a table"))?;
        (0..3).try_for_each(|_| self.add_note())
    }

    /// Adds one row to it.
    pub(crate) fn add_note(&mut self) -> Outcome {
        let added = self
            .client
            .execute("insert into notes (text) values ('catatan ✓ ' || now())", &[]);
        added.map(drop).map_err(Failure::doing("could not add a note"))
    }

    /// Its ids are these.
    pub(crate) fn expect_notes(&mut self, ids: RangeInclusive<i64>) -> Outcome {
        let rows = self.client.query("select id from notes order by id", &[]);
        let rows = rows.map_err(Failure::doing("could not read the notes"))?;
        let found: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        ensure(found.iter().copied().eq(ids.clone()), || {
            format!("expected notes {ids:?}, got {found:?}")
        })
    }

    /// Every row is there with its text, and no other.
    pub(crate) fn expect_rows(&mut self) -> Outcome {
        let rows = self.client.query("select id, text from kept order by id", &[]);
        let rows = rows.map_err(Failure::doing("could not read the rows"))?;
        let found: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let right = found
            .iter()
            .map(|(id, text)| (*id, text.clone()))
            .eq((0..ROWS).map(|id| (id, text(id))));
        ensure(right, || {
            format!("the rows are not those that were written; there are {}", found.len())
        })
    }
}

fn text(id: i64) -> String {
    format!("baris {id} ✓ {}", id * id % 9973)
}
