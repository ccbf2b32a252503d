//! Owns the rules about what code in which room may do.

use crate::{File, files, none};

/// Lines of production code that contain one of `words`, comments left out.
fn uses(words: &[&str], wanted: impl Fn(&File) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files("rs").iter().filter(|f| !f.is_test() && wanted(f)) {
        for (n, line) in file.prod().lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && words.iter().any(|w| code.contains(w)) {
                found.push(format!("{}:{}: {}", file.path, n + 1, code));
            }
        }
    }
    found
}

fn is_platform(file: &File) -> bool {
    file.path.contains("/platform/") || file.path.ends_with("/platform.rs")
}

fn is_program(file: &File) -> bool {
    file.path.ends_with("/main.rs") || file.path.contains("/bin/") || file.area() == "console"
}

#[test]
fn platform_code_lives_in_twins() {
    let words = ["cfg(windows)", "cfg(unix)", "cfg(target_os", "cfg(not(windows", "cfg(not(unix", "cfg!(windows", "cfg!(unix", "cfg!(target_os"];
    none(uses(&words, |f| !is_platform(f)), "platform code outside of `platform/`");
}

#[test]
fn unsafe_code_lives_in_platform_twins() {
    none(uses(&["unsafe {", "unsafe fn", "unsafe impl"], |f| !is_platform(f)), "`unsafe` outside of `platform/`");
}

#[test]
fn signing_opens_no_file_and_reads_no_clock() {
    let words = ["std::fs", "std::env", "std::net", "std::process", "SystemTime", "Instant::now", "File::"];
    none(uses(&words, |f| f.area() == "signing"), "`signing` takes bytes and times as arguments");
}

#[test]
fn libraries_read_neither_environment_nor_clock_by_themselves() {
    let words = ["env::var", "env::args", "env::current_dir", "env::home_dir", "env::temp_dir", "SystemTime::now", "Timestamp::now", "Zoned::now"];
    none(uses(&words, |f| !is_program(f) && !is_platform(f) && !f.path.starts_with("packs/recipes/")), "the program's `main` reads these and passes them down");
}

#[test]
fn only_state_changes_the_install_root() {
    let words = [
        "fs::write", "fs::rename", "fs::remove_", "fs::create_dir", "fs::copy", "fs::hard_link", "fs::set_permissions", "File::create", "OpenOptions",
    ];
    none(uses(&words, |f| f.area() == "installer" && !is_platform(f)), "the installer changes files outside of `state`'s store");
}

#[test]
fn only_console_prompts() {
    none(uses(&["dialoguer::", "indicatif::"], |f| f.area() != "console"), "prompts and bars outside of `console`");
}
