//! Owns the command `init`: a commented definition that builds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::builder::PossibleValue;
use kojibox_console::{Exit, Outcome, Report, Ui};
use serde_json::json;

/// A definition to start from, with its files.
#[derive(Clone, Copy, Debug)]
struct Template {
    name: &'static str,
    about: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// The templates that this program carries.
const TEMPLATES: [Template; 3] = [
    Template {
        name: "files",
        about: "a folder of files, for every system",
        files: &[
            ("stack.toml", include_str!("init/files/stack.toml")),
            ("files/README.txt", include_str!("init/files/files/README.txt")),
        ],
    },
    Template {
        name: "service",
        about: "a web server (Caddy, from PyPI) with a page, a port question and a template",
        files: &[
            ("stack.toml", include_str!("init/service/stack.toml")),
            ("pages/index.html", include_str!("init/service/pages/index.html")),
            (
                "templates/Caddyfile.j2",
                include_str!("init/service/templates/Caddyfile.j2"),
            ),
        ],
    },
    Template {
        name: "node",
        about: "an application from npm with its dependencies, on Node.js",
        files: &[("stack.toml", include_str!("init/node/stack.toml"))],
    },
];

/// Write a commented definition that builds
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to start from
    #[arg(long, value_name = "NAME", default_value = "files", value_parser = template_parser())]
    template: String,
    /// Folder for the definition; made if absent, files that are there are never replaced
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

fn template_parser() -> clap::builder::PossibleValuesParser {
    let values = TEMPLATES.map(|t| PossibleValue::new(t.name).help(t.about));
    clap::builder::PossibleValuesParser::new(values)
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let template = TEMPLATES.iter().find(|t| t.name == self.template);
        let template = template.expect("the parser takes names of templates only");
        if let Some((name, _)) = template.files.iter().find(|(name, _)| self.dir.join(name).exists()) {
            let path = self.dir.join(name);
            return Err(Report::new(Exit::Usage, format!("`{}` exists", path.display()))
                .state("nothing was written")
                .hint("choose another folder"));
        }
        for (name, text) in template.files {
            write(&self.dir.join(name), text)?;
        }
        let stack = self.dir.join("stack.toml");
        if ui.is_json() {
            let files: Vec<_> = template.files.iter().map(|(name, _)| self.dir.join(name)).collect();
            ui.json(&json!({ "template": template.name, "stack": stack, "files": files }));
        } else {
            ui.answer(&format!("{}", stack.display()));
            ui.status(&format!(
                "Edit it, then run `kojibox-packer check {}`.",
                stack.display()
            ));
        }
        Ok(Exit::Done)
    }
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(parent).and_then(|()| {
        let mut file = fs::File::create_new(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    });
    written.map_err(|source| {
        let path = path.to_owned();
        Report::new(Exit::FileSystem, WriteError { path, source })
    })
}

/// A file of a template could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`", path.display())]
struct WriteError {
    path: PathBuf,
    source: io::Error,
}
