//! Owns the program that test services run: this test binary itself, told by an environment variable what to be.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process, thread,
    time::Duration,
};

/// Name of the variable.
pub(crate) const VARIABLE: &str = "TEST_HELPER";

/// The command of a service that runs the helper.
pub(crate) fn command() -> Vec<String> {
    let exe = std::env::current_exe().expect("a test knows its binary");
    let exe = exe.to_str().expect("the target directory is UTF-8").to_owned();
    [exe.as_str(), "helper::helper", "--exact", "--nocapture", "--quiet"]
        .map(str::to_owned)
        .to_vec()
}

/// Not a test: what services run. `serve PORT` answers HTTP on the port; `serve PORT GATE` only once a file exists.
#[test]
fn helper() {
    let Ok(words) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = words.split('\n').collect();
    match words.as_slice() {
        ["serve", port] => serve(port),
        ["serve", port, gate] => {
            while !std::path::Path::new(gate).exists() {
                thread::sleep(Duration::from_millis(10));
            }
            serve(port);
        }
        other => panic!("the helper does not know {other:?}"),
    }
    process::exit(0);
}

fn serve(port: &str) {
    let port: u16 = port.parse().expect("a port");
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("bind: {error}");
            process::exit(98);
        }
    };
    eprintln!("listening on {port}");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut head = [0; 1024];
        drop(stream.read(&mut head));
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
    }
}
