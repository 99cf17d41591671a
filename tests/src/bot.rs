//! A Bot API in a namespace, which does what the test says and remembers what it was sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::{Background, must, until};

/// How it treats those who write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Takes every message.
    Takes,
    /// Takes every message, after a while.
    Dawdles(Duration),
    /// Answers with this status and this body.
    Says(u16, Value),
    /// Sends the first bytes, and then the others again and again, with a pause between.
    Floods(Vec<u8>, Vec<u8>, Duration),
    /// Never answers.
    Hangs,
    /// Hangs up.
    HangsUp,
}

/// The Bot API at `http://127.0.0.1:8081` of a namespace. A server of the test's own behind a relay of socat's, since the
/// test is not in the namespace.
#[derive(Debug)]
pub struct Bot {
    shared: Arc<Mutex<Shared>>,
    _relay: Background,
    _folder: TempDir,
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    paths: Vec<String>,
    bodies: Vec<Value>,
}

impl Bot {
    /// Where it is.
    pub const URL: &'static str = "http://127.0.0.1:8081";
    /// A token as they look.
    pub const TOKEN: &'static str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz-_0";

    /// A Bot API that takes every message.
    #[track_caller]
    pub fn new(namespace: &Namespace) -> Self {
        let folder = must(TempDir::new(), "cannot make a folder");
        let socket = folder.path().join("api");
        let listener = must(UnixListener::bind(&socket), "cannot listen");
        let shared = Shared { manner: Manner::Takes, paths: Vec::new(), bodies: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        let target = format!("UNIX-CONNECT:{}", socket.display());
        let relay = namespace.spawn(&["socat", "TCP4-LISTEN:8081,bind=127.0.0.1,fork,reuseaddr", &target]);
        until("the relay listens", Duration::from_secs(5), || {
            (!namespace.run(&["ss", "-Hltn", "sport = :8081"]).is_empty()).then_some(())
        });
        Self { shared, _relay: relay, _folder: folder }
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        lock(&self.shared).manner = manner;
    }

    /// What it was sent so far, whether it took it or not, as people read it.
    pub fn texts(&self) -> Vec<String> {
        lock(&self.shared).bodies.iter().map(|body| read(body["text"].as_str().unwrap_or_default())).collect()
    }

    /// The paths that were asked for.
    pub fn paths(&self) -> Vec<String> {
        lock(&self.shared).paths.clone()
    }

    /// The `telegram` block of a config.json that writes to it.
    pub fn block() -> Value {
        json!({"enable": true, "bot_token": Self::TOKEN, "chat_id": "-1001234567890", "api_url": Self::URL})
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Telegram's HTML without its tags.
fn read(html: &str) -> String {
    let tags = ["<b>", "</b>", "<code>", "</code>"];
    let plain = tags.iter().fold(html.to_owned(), |text, tag| text.replace(tag, ""));
    plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn serve(stream: &UnixStream, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream);
    let Some((path, body)) = request(&mut reader) else { return };
    let manner = {
        let mut shared = lock(shared);
        shared.paths.push(path);
        shared.bodies.push(body);
        shared.manner.clone()
    };
    let (status, body) = match manner {
        Manner::Takes => (200, json!({"ok": true, "result": {}})),
        Manner::Dawdles(time) => {
            thread::sleep(time);
            (200, json!({"ok": true, "result": {}}))
        }
        Manner::Says(status, body) => (status, body),
        Manner::Floods(first, more, pause) => {
            let mut writer = stream;
            let mut sent = writer.write_all(&first);
            // Until whoever asked goes away.
            while sent.is_ok() && !more.is_empty() {
                thread::sleep(pause);
                sent = writer.write_all(&more);
            }
            return;
        }
        Manner::HangsUp => return,
        Manner::Hangs => {
            // Until whoever asked goes away.
            drop(reader.read(&mut [0]));
            return;
        }
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} so\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut writer = stream;
    // Whoever asked may be gone.
    drop(writer.write_all((head + &body).as_bytes()));
}

/// The path and the body of an HTTP request.
fn request(reader: &mut BufReader<&UnixStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}
