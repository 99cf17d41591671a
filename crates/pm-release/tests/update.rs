//! Updates from a server on this machine, which behaves as well or as badly as it is told to.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use minisign::KeyPair;
use pm_release::source::Patience;
use pm_release::{Installation, PROGRAMS, ReleaseError, Source, target};
use ring::digest::{SHA256, digest};
use semver::Version;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A publisher, a server, and a machine on which version 5.0.0 is installed.
struct Laboratory {
    keys: KeyPair,
    server: MockServer,
    machine: TempDir,
}

/// What the server serves as version 5.1.0, before somebody tampers with it.
struct Offer {
    description: Value,
    files: Vec<(String, ResponseTemplate)>,
}

impl Laboratory {
    async fn new() -> Self {
        let machine = tempfile::tempdir().unwrap();
        for name in PROGRAMS {
            install(machine.path(), name, &program(name, "5.0.0"));
        }
        Self {
            keys: KeyPair::generate_unencrypted_keypair().unwrap(),
            server: MockServer::start().await,
            machine,
        }
    }

    fn sign(&self, bytes: &[u8], vouched: &str) -> String {
        let signed =
            minisign::sign(Some(&self.keys.pk), &self.keys.sk, Cursor::new(bytes), Some(vouched), None);
        signed.unwrap().into_string()
    }

    fn offer(&self) -> Offer {
        let mut programs = serde_json::Map::new();
        let mut files = Vec::new();
        for name in PROGRAMS {
            let (file, bytes) = (format!("{name}-5.1.0"), program(name, "5.1.0"));
            programs.insert(
                name.to_owned(),
                json!({ "file": file, "size": bytes.len(), "sha256": sha256(bytes.as_bytes()) }),
            );
            let signature = self.sign(bytes.as_bytes(), &format!("{name} 5.1.0 {}", target()));
            files.push((format!("{file}.minisig"), answer(&signature)));
            files.push((file, answer(&bytes)));
        }
        let description =
            json!({ "version": "5.1.0", "notes": { "en": "faster" }, "targets": { target(): programs } });
        Offer { description, files }
    }

    async fn serve(&self, offer: Offer) {
        self.server.reset().await;
        let latest = ("latest.json".to_owned(), answer(&offer.description.to_string()));
        for (file, answer) in offer.files.into_iter().chain([latest]) {
            let mock = Mock::given(method("GET")).and(path(format!("/pm/{file}")));
            mock.respond_with(answer).mount(&self.server).await;
        }
    }

    fn source(&self) -> Source {
        self.source_at(&format!("{}/pm", self.server.uri()), Duration::from_mins(1))
    }

    fn source_at(&self, address: &str, file: Duration) -> Source {
        let patience = Patience { silence: Duration::from_secs(2), file };
        Source::new(address, &self.keys.pk.to_base64(), patience).unwrap()
    }

    fn installation(&self) -> Installation {
        Installation::at(self.machine.path()).unwrap()
    }

    /// The whole way.
    async fn update(&self) -> Result<(), ReleaseError> {
        let source = self.source();
        let release = source.latest().await?;
        assert!(release.is_newer_than(&version("5.0.0"))?);
        let installation = self.installation();
        let mut programs = Vec::new();
        for (name, program) in release.programs(&target())? {
            programs.push((name, source.download(&release, name, program, &mut |_, _| {}).await?));
        }
        let staged = installation.stage(programs, &release.version).await?;
        installation.replace(staged)
    }

    /// An update that must fail and leave every file as it was.
    async fn refusal(&self, offer: Offer) -> ReleaseError {
        self.serve(offer).await;
        let before = self.contents();
        let error = self.update().await.unwrap_err();
        assert_eq!(self.contents(), before, "{error}");
        error
    }

    fn contents(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(self.machine.path())
            .unwrap()
            .map(|file| {
                let path = file.unwrap().path();
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

impl Offer {
    fn answer(mut self, file: &str, answer: ResponseTemplate) -> Self {
        self.files.retain(|(name, _)| name != file);
        self.files.push((file.to_owned(), answer));
        self
    }

    fn without(mut self, file: &str) -> Self {
        self.files.retain(|(name, _)| name != file);
        self
    }

    fn described(mut self, field: &str, value: Value) -> Self {
        *self.description.pointer_mut(&field.replace("TARGET", &target())).unwrap() = value;
        self
    }
}

/// A program that can do no more than say its version.
fn program(name: &str, version: &str) -> String {
    format!("#!/bin/sh\necho {name} {version}\n")
}

fn install(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn answer(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(text)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_newer_release_is_installed_and_can_be_gone_back_from_and_forth_again() {
    let lab = Laboratory::new().await;
    lab.serve(lab.offer()).await;
    lab.update().await.unwrap();
    let text = |name: &str| fs::read_to_string(lab.machine.path().join(name)).unwrap();
    for name in PROGRAMS {
        assert_eq!(text(name), program(name, "5.1.0"));
        assert_eq!(text(&format!("{name}.old")), program(name, "5.0.0"));
        let mode = fs::metadata(lab.machine.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
    assert_eq!(lab.contents().len(), 4, "{:?}", lab.contents());

    assert_eq!(lab.installation().roll_back().await.unwrap(), "5.0.0");
    assert_eq!((text("pm"), text("pm.old")), (program("pm", "5.0.0"), program("pm", "5.1.0")));
    assert_eq!(lab.installation().roll_back().await.unwrap(), "5.1.0");
    assert_eq!(
        (text("pm-monitor"), text("pm-monitor.old")),
        (program("pm-monitor", "5.1.0"), program("pm-monitor", "5.0.0"))
    );
    assert_eq!(lab.contents().len(), 4, "{:?}", lab.contents());
}

#[tokio::test]
async fn a_download_tells_how_far_it_is() {
    let lab = Laboratory::new().await;
    lab.serve(lab.offer()).await;
    let source = lab.source();
    let release = source.latest().await.unwrap();
    let (name, program) = release.programs(&target()).unwrap()[0];
    let mut last = (0, 0);
    source.download(&release, name, program, &mut |done, of| last = (done, of)).await.unwrap();
    assert_eq!(last, (program.size, program.size));
}

#[tokio::test]
async fn what_is_not_signed_by_the_publisher_is_refused() {
    let lab = Laboratory::new().await;
    let none = lab.refusal(lab.offer().without("pm-5.1.0.minisig")).await;
    assert!(matches!(none, ReleaseError::Refused { status: 404, .. }), "{none}");

    let stranger = Laboratory::new().await;
    let forged = stranger.sign(program("pm", "5.1.0").as_bytes(), &format!("pm 5.1.0 {}", target()));
    let forged = lab.refusal(lab.offer().answer("pm-5.1.0.minisig", answer(&forged))).await;
    assert!(matches!(forged, ReleaseError::Signature { .. }), "{forged}");

    let garbage = lab.refusal(lab.offer().answer("pm-5.1.0.minisig", answer("trust me"))).await;
    assert!(matches!(garbage, ReleaseError::Signature { .. }), "{garbage}");

    // The signature of the other program, genuine as it is.
    let other =
        lab.sign(program("pm-monitor", "5.1.0").as_bytes(), &format!("pm-monitor 5.1.0 {}", target()));
    let other = lab.refusal(lab.offer().answer("pm-5.1.0.minisig", answer(&other))).await;
    assert!(matches!(other, ReleaseError::Signature { .. }), "{other}");
}

#[tokio::test]
async fn a_genuine_signature_for_something_else_is_refused() {
    let lab = Laboratory::new().await;
    let bytes = program("pm", "5.1.0");
    for vouched in [
        // An old program with a hole in it, offered as the newest.
        format!("pm 4.9.0 {}", target()),
        "pm 5.1.0 riscv64gc-unknown-linux-musl".to_owned(),
        format!("pm-monitor 5.1.0 {}", target()),
        String::new(),
    ] {
        let signature = lab.sign(bytes.as_bytes(), &vouched);
        let refusal = lab.refusal(lab.offer().answer("pm-5.1.0.minisig", answer(&signature))).await;
        assert!(matches!(refusal, ReleaseError::Mislabelled { .. }), "{refusal}");
    }
}

#[tokio::test]
async fn what_arrives_otherwise_than_announced_is_refused() {
    let lab = Laboratory::new().await;
    let bytes = program("pm", "5.1.0");
    let short = lab.refusal(lab.offer().answer("pm-5.1.0", answer(&bytes[..10]))).await;
    assert!(matches!(short, ReleaseError::Short { arrived: 10, .. }), "{short}");
    let long = lab.refusal(lab.offer().answer("pm-5.1.0", answer(&(bytes.clone() + "#")))).await;
    assert!(matches!(long, ReleaseError::TooLong { .. }), "{long}");
    let damaged = lab.refusal(lab.offer().answer("pm-5.1.0", answer(&bytes.replace("echo", "ecHo")))).await;
    assert!(matches!(damaged, ReleaseError::Damaged { .. }), "{damaged}");
    let page = lab
        .refusal(lab.offer().answer("pm-5.1.0", answer(&"<!DOCTYPE html>".repeat(2)[..bytes.len()])))
        .await;
    assert!(matches!(page, ReleaseError::Damaged { .. }), "{page}");
}

#[tokio::test]
async fn what_describes_no_newer_release_is_refused() {
    let lab = Laboratory::new().await;
    let captive = "<!DOCTYPE html><html>Please log in \u{1b}[2J</html>";
    let mut offer = lab.offer();
    offer.description = Value::Null;
    lab.serve(offer).await;
    lab.server.reset().await;
    Mock::given(method("GET")).respond_with(answer(captive)).mount(&lab.server).await;
    let page = lab.source().latest().await.unwrap_err();
    assert!(
        matches!(&page, ReleaseError::Description { beginning, .. } if beginning.starts_with("<!DOCTYPE html>"))
    );
    assert!(!page.to_string().contains('\u{1b}'));

    lab.serve(lab.offer().described("/version", json!("4.9.0"))).await;
    let older = lab.source().latest().await.unwrap().is_newer_than(&version("5.0.0")).unwrap_err();
    assert!(matches!(older, ReleaseError::Older { .. }), "{older}");

    let renamed = lab.refusal(lab.offer().described("/version", json!("5.2.0"))).await;
    assert!(matches!(renamed, ReleaseError::Mislabelled { .. }), "{renamed}");

    let elsewhere = lab.refusal(lab.offer().described("/targets", json!({ "sparc": {} }))).await;
    assert!(matches!(elsewhere, ReleaseError::NoTarget { .. }), "{elsewhere}");

    let gone = lab.refusal(lab.offer().without("pm-5.1.0")).await;
    assert!(matches!(gone, ReleaseError::Refused { status: 404, .. }), "{gone}");
}

#[tokio::test]
async fn nobody_is_followed_to_an_address_without_encryption() {
    let lab = Laboratory::new().await;
    let elsewhere = format!("{}/elsewhere", lab.server.uri());
    let redirect = ResponseTemplate::new(302).insert_header("location", elsewhere.as_str());
    let redirected = lab.refusal(lab.offer().answer("pm-5.1.0", redirect)).await;
    assert!(redirected.to_string().contains("without encryption"), "{redirected}");
    for address in [
        "http://example.org/pm",
        "ftp://example.org/",
        "file:///pm",
        "example.org",
        "https://a/?x=y",
        "https://169.254.169.254/pm",
        "",
    ] {
        let refused = Source::new(address, &lab.keys.pk.to_base64(), Patience::USUAL);
        assert!(matches!(refused, Err(ReleaseError::Address)), "{address}");
    }
    assert!(matches!(
        Source::new("https://example.org/pm", "RWnonsense", Patience::USUAL),
        Err(ReleaseError::Key)
    ));
}

/// Never silent, and never done.
#[tokio::test]
async fn a_server_that_sends_a_byte_at_a_time_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/pm", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            let mut sent = stream.write_all(head).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                sent = stream.write_all(b" ").await;
            }
        }
    });
    let lab = Laboratory::new().await;
    let error = lab.source_at(&address, Duration::from_secs(1)).latest().await.unwrap_err().to_string();
    assert!(error.contains("not all of it came within 1 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_goes_silent_is_given_up() {
    let lab = Laboratory::new().await;
    let late = answer(&program("pm", "5.1.0")).set_delay(Duration::from_hours(1));
    lab.serve(lab.offer().answer("pm-5.1.0", late)).await;
    let source = lab.source();
    let release = source.latest().await.unwrap();
    let (name, program) = release.programs(&target()).unwrap()[1];
    let silent = source.download(&release, name, program, &mut |_, _| {}).await.unwrap_err();
    assert!(silent.to_string().contains("no answer within 2 s"), "{silent}");
}

#[tokio::test]
async fn a_program_that_does_not_run_here_is_never_installed() {
    let lab = Laboratory::new().await;
    let before = lab.contents();
    let installation = lab.installation();
    for (text, kind) in [
        ("\u{7f}ELF of another machine", "does not run"),
        ("#!/bin/sh\nexit 1\n", "does not run"),
        ("#!/bin/sh\necho pm 5.0.9\n", "says that it is `pm 5.0.9`"),
    ] {
        let programs = vec![("pm-monitor", program("pm-monitor", "5.1.0").into_bytes()), ("pm", text.into())];
        let error = installation.stage(programs, &version("5.1.0")).await.unwrap_err();
        assert!(error.to_string().contains(kind), "{error}");
        assert_eq!(lab.contents(), before);
    }
}

#[tokio::test]
async fn all_programs_are_replaced_or_none() {
    let lab = Laboratory::new().await;
    let installation = lab.installation();
    let programs =
        PROGRAMS.map(|name| (name, program(name, "5.1.0").into_bytes())).into_iter().collect::<Vec<_>>();
    let staged = installation.stage(programs, &version("5.1.0")).await.unwrap();
    // The second one cannot be kept: where its old form should go, a folder stands.
    fs::create_dir(lab.machine.path().join("pm.old")).unwrap();
    fs::write(lab.machine.path().join("pm.old/x"), "").unwrap();
    assert!(matches!(installation.replace(staged), Err(ReleaseError::File { .. })));
    for name in PROGRAMS {
        assert_eq!(fs::read_to_string(lab.machine.path().join(name)).unwrap(), program(name, "5.0.0"));
    }
}

#[tokio::test]
async fn without_an_installation_or_an_old_program_there_is_nothing_to_do() {
    let lab = Laboratory::new().await;
    assert!(matches!(lab.installation().roll_back().await, Err(ReleaseError::NoOld { .. })));
    fs::remove_file(lab.machine.path().join("pm")).unwrap();
    assert!(matches!(Installation::at(lab.machine.path()), Err(ReleaseError::NotInstalled { .. })));
    assert!(matches!(lab.update_room(u64::MAX), Err(ReleaseError::NoSpace { .. })));
}

impl Laboratory {
    fn update_room(&self, needed: u64) -> Result<(), ReleaseError> {
        install(self.machine.path(), "pm", &program("pm", "5.0.0"));
        self.installation().make_sure_of_room(0)?;
        self.installation().make_sure_of_room(needed)
    }
}

#[tokio::test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
async fn a_full_disk_changes_nothing() {
    let lab = Laboratory::new().await;
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(lab.machine.path())
        .status();
    assert!(mounted.unwrap().success());
    for name in PROGRAMS {
        install(lab.machine.path(), name, &program(name, "5.0.0"));
    }
    let before = lab.contents();
    let installation = lab.installation();
    assert!(matches!(installation.make_sure_of_room(1 << 20), Err(ReleaseError::NoSpace { .. })));
    let programs = vec![("pm-monitor", vec![b'#'; 1 << 20])];
    let error = installation.stage(programs, &version("5.1.0")).await.unwrap_err();
    assert!(matches!(error, ReleaseError::File { .. }), "{error}");
    assert_eq!(lab.contents(), before);
}
