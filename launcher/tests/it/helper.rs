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
            wait_for(gate);
            serve(port);
        }
        ["speak", protocol, port, gate] => speak(protocol, port, gate),
        ["notify", first, second, gate] => {
            notify(first);
            wait_for(gate);
            notify(second);
            thread::sleep(Duration::from_secs(1000));
        }
        ["notify-child", gate] => {
            wait_for(gate);
            // A shell's child speaks, and stays until it was heard.
            let mut child = command();
            let mut child = process::Command::new(child.remove(0))
                .args(child)
                .env(VARIABLE, "notify\nSTATUS=by a child\nREADY=1\n/")
                .spawn()
                .expect("it starts itself");
            drop(child.wait());
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

fn wait_for(gate: &str) {
    while !std::path::Path::new(gate).exists() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says a datagram to whoever started us.
fn notify(text: &str) {
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    let to = std::env::var("NOTIFY_SOCKET").expect("it is told where to speak");
    socket.send_to(text.as_bytes(), to).expect("somebody listens");
}

/// Accepts connections once `gate` exists (before it, even where nothing but a connection is asked for) and answers with what
/// a server of the protocol says first.
fn speak(protocol: &str, port: &str, gate: &str) {
    let answer: &[u8] = match protocol {
        "tcp" => b"",
        "http" => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        "postgres" => b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
        "mysql" => b"\x4a\0\0\0\x0a8.4.0\0",
        "redis" => b"+PONG\r\n",
        "smtp" => b"220 mail ESMTP\r\n",
        "fastcgi" => b"\x01\x0a\0\0\0\x12\0\0\x0f\x01FCGI_MPXS_CONNS0",
        other => panic!("the helper does not speak {other}"),
    };
    // Who only has to listen does not listen before; the others say something wrong first.
    if protocol == "tcp" {
        wait_for(gate);
    }
    let port: u16 = port.parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port was held for us");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let open = std::path::Path::new(gate).exists();
        drop(stream.write_all(if open { answer } else { b"no such protocol\r\n" }));
        let mut said = [0; 1024];
        drop(stream.read(&mut said));
    }
}
