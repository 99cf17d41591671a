//! The queue against a Bot API that takes, refuses, throttles, stumbles, moves and hangs.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Zoned};
use pm_core::desired::Host;
use pm_core::event::Event;
use pm_core::fake::FakeKernel;
use pm_monitor::delivery::Audience;
use pm_monitor::outcome::MinuteOutcome;
use pm_monitor::{Machine, Paths};
use pm_notify::{DeliveryError, Log};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const TOKEN: &str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz-_0";

/// A machine with a queue, and the Bot API that it writes to.
struct World {
    _folder: TempDir,
    config: PathBuf,
    machine: Machine,
    server: MockServer,
    now: Zoned,
}

/// What a round came to.
struct Round {
    printed: String,
    notes: Vec<String>,
    texts: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let paths = Paths::under(folder.path());
        let config = paths.config();
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        let kernel = FakeKernel::default();
        let machine =
            Machine::new(paths, Box::new(kernel.clone()), Box::new(kernel), Box::new(Host::default));
        let server = MockServer::start().await;
        let now = "2026-02-10T14:00:00+08:00[Asia/Shanghai]".parse().unwrap();
        let world = Self { _folder: folder, config, machine, server, now };
        world.write(&json!({"telegram": {
            "enable": true, "bot_token": TOKEN, "chat_id": "-100123", "api_url": world.server.uri()
        }}));
        world
    }

    /// Queues this many messages of ports 1, 2 ..
    async fn with(messages: usize) -> Self {
        let world = Self::new().await;
        world.queue((1..=messages).map(
            |port| json!({"type": "recovered", "subject": {"ports": [port.to_string()], "comment": ""}}),
        ));
        world
    }

    fn queue(&self, events: impl Iterator<Item = Value>) {
        let mut config = self.read();
        let message = |(id, event)| json!({"id": id, "at": self.now.timestamp(), "event": event});
        config["outbox"] = events.enumerate().map(message).collect();
        self.write(&config);
    }

    fn write(&self, config: &Value) {
        std::fs::write(&self.config, config.to_string()).unwrap();
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.config).unwrap()).unwrap()
    }

    fn waiting(&self) -> usize {
        self.read()["outbox"].as_array().unwrap().len()
    }

    fn last_error(&self) -> Value {
        self.read()["delivery"]["telegram"]["last_error"]["text"].clone()
    }

    async fn answers(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        Mock::given(any()).respond_with(answer).mount(&self.server).await;
    }

    async fn takes(&self) {
        self.answers(ResponseTemplate::new(200).set_body_json(json!({"ok": true}))).await;
    }

    async fn refuses(&self, code: u16, body: Value) {
        self.answers(ResponseTemplate::new(code).set_body_json(body)).await;
    }

    /// One round, this many seconds after the queue came to be. Its texts are those that reached the server.
    async fn round(&self, second: i64) -> Round {
        let now = self.now.checked_add(SignedDuration::from_secs(second)).unwrap();
        let log = Log::new(Vec::new());
        let before = self.texts().await.len();
        let notes = self.machine.tell(&now, &log).await.unwrap();
        let texts = self.texts().await.split_off(before);
        let printed = String::from_utf8(log.into_inner()).unwrap();
        assert!(
            !format!("{printed}{notes:?}{}", self.last_error()).contains("ABCdefGHI"),
            "the token is out"
        );
        Round { printed, notes, texts }
    }

    async fn texts(&self) -> Vec<String> {
        self.server.received_requests().await.unwrap().iter().map(text).collect()
    }
}

fn text(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["text"].as_str().unwrap().to_owned()
}

fn refusal(code: u16, description: &str) -> Value {
    json!({"ok": false, "error_code": code, "description": description})
}

#[tokio::test]
async fn what_waits_for_a_channel_that_was_switched_off_is_left_to_the_next_minute() {
    let world = World::with(3).await;
    let mut config = world.read();
    config["telegram"]["enable"] = false.into();
    world.write(&config);
    let round = world.round(0).await;
    assert_eq!((round.printed.as_str(), round.texts.len(), world.waiting()), ("", 0, 3));
    let MinuteOutcome::Done(outcome) = world.machine.minute(&world.now).await.unwrap() else {
        panic!("busy")
    };
    assert_eq!((outcome.unheard.len(), outcome.messages_wait, world.waiting()), (3, false, 0));
}

#[tokio::test]
async fn what_telegram_takes_is_printed_too_and_leaves_the_queue() {
    let world = World::with(2).await;
    world.takes().await;
    let round = world.round(0).await;
    assert_eq!(round.texts.len(), 2);
    assert!(round.texts[0].contains("<code>1</code>") && round.texts[1].contains("<code>2</code>"));
    assert_eq!(round.printed.lines().count(), 2);
    assert_eq!((world.waiting(), round.notes), (0, Vec::new()));
    assert!(world.round(60).await.texts.is_empty());
}

#[tokio::test]
async fn many_at_once_are_one_digest() {
    let world = World::with(40).await;
    world.takes().await;
    let round = world.round(0).await;
    assert_eq!(round.texts.len(), 1);
    assert_eq!(round.texts[0].matches("<code>").count(), 41, "the host and forty ports");
    assert_eq!((round.printed.lines().count(), world.waiting()), (40, 0));
}

#[tokio::test]
async fn a_server_that_stumbles_is_tried_again_after_1_2_4_minutes_until_a_day_has_passed() {
    let world = World::with(1).await;
    world.refuses(502, json!({})).await;
    let mut attempts = Vec::new();
    let mut minute = 0;
    while world.waiting() > 0 {
        let round = world.round(minute * 60).await;
        if !round.texts.is_empty() {
            attempts.push(minute);
            assert!(round.notes[0].contains("502"), "{:?}", round.notes);
            assert!(round.printed.is_empty());
        }
        minute += 1;
        assert!(minute < 3000);
    }
    assert_eq!(attempts[..8], [0, 1, 3, 7, 15, 31, 63, 127]);
    assert!((1440..1440 + 65).contains(attempts.last().unwrap()), "{attempts:?}");
    assert!(world.last_error().as_str().unwrap().contains("Bad Gateway (502)"));
}

#[tokio::test]
async fn a_server_that_is_well_again_gets_everything_and_the_error_is_forgotten() {
    let world = World::with(2).await;
    world.refuses(500, json!({})).await;
    assert_eq!(world.round(0).await.texts.len(), 1, "the second message is not tried when the first fails");
    assert!(world.last_error().is_string());
    world.takes().await;
    assert_eq!(world.round(60).await.texts.len(), 2);
    assert_eq!((world.waiting(), world.last_error()), (0, Value::Null));
}

#[tokio::test]
async fn throttling_is_obeyed_to_the_second() {
    let world = World::with(1).await;
    let mut body = refusal(429, "Too Many Requests: retry after 100");
    body["parameters"] = json!({"retry_after": 100});
    world.refuses(429, body).await;
    assert_eq!(world.round(0).await.texts.len(), 1);
    world.takes().await;
    assert_eq!(world.round(60).await.texts.len(), 0);
    assert_eq!(world.round(99).await.texts.len(), 0);
    assert_eq!(world.round(120).await.texts.len(), 1);
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_refusal_for_ever_drops_that_message_and_is_remembered() {
    for (code, words) in [
        (400, "Bad Request: chat not found"),
        (401, "Unauthorized"),
        (403, "Forbidden: bot was blocked by the user"),
        (404, "Not Found"),
    ] {
        let world = World::with(1).await;
        world.refuses(code, refusal(code, words)).await;
        let round = world.round(0).await;
        assert_eq!((world.waiting(), round.printed.as_str()), (0, ""));
        assert!(round.notes[0].contains(words), "{:?}", round.notes);
        assert_eq!(world.last_error(), format!("{words} ({code})"));
    }
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_is_followed_and_saved() {
    let world = World::with(2).await;
    world.server.reset().await;
    let moved = |request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if body["chat_id"] == "-1009876543210" {
            return ResponseTemplate::new(200).set_body_json(json!({"ok": true}));
        }
        let mut body = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat");
        body["parameters"] = json!({"migrate_to_chat_id": -1_009_876_543_210_i64});
        ResponseTemplate::new(400).set_body_json(body)
    };
    Mock::given(any()).respond_with(moved).mount(&world.server).await;
    let round = world.round(0).await;
    assert_eq!((round.texts.len(), world.waiting()), (3, 0));
    assert_eq!(world.read()["telegram"]["chat_id"], "-1009876543210", "in the form in which it was");
}

#[tokio::test]
async fn a_long_report_goes_on_with_the_part_at_which_it_stopped() {
    let world = World::new().await;
    let line = |port: u32| json!({"port": port.to_string(), "comment": "x".repeat(30), "used": 1, "blocked": false, "speed": null, "limit": null, "percent": null, "punished": false});
    world.queue(std::iter::once(json!({"type": "report", "lines": (1..=300).map(line).collect::<Vec<_>>()})));
    let count = Arc::new(AtomicUsize::new(0));
    world.server.reset().await;
    let second_fails = move |_: &Request| match count.fetch_add(1, Ordering::SeqCst) {
        1 => ResponseTemplate::new(503),
        _ => ResponseTemplate::new(200).set_body_json(json!({"ok": true})),
    };
    Mock::given(any()).respond_with(second_fails).mount(&world.server).await;
    let first = world.round(0).await.texts;
    assert_eq!((first.len(), world.waiting()), (2, 1));
    assert_eq!(world.read()["delivery"]["telegram"]["parts"], 1);
    let second = world.round(60).await.texts;
    assert_eq!(second[0], first[1], "it begins with what was not taken");
    let taken: String = [&first[..1], &second].concat().concat();
    assert_eq!(
        taken.matches("<code>").count(),
        300 + second.len() + 1,
        "each port once, and the host in each head"
    );
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn no_more_than_twenty_messages_a_minute() {
    let world = World::new().await;
    // Reports are never put into a digest.
    world.queue((0..30).map(|_| json!({"type": "report", "lines": []})));
    world.takes().await;
    assert_eq!(world.round(0).await.texts.len(), 20);
    assert_eq!(world.round(30).await.texts.len(), 0);
    assert_eq!(world.round(90).await.texts.len(), 10);
}

#[tokio::test]
async fn a_round_that_was_killed_after_a_sending_repeats_that_one_alone() {
    let world = World::with(3).await;
    world.takes().await;
    let before = world.read();
    assert_eq!(world.round(0).await.texts.len(), 3);
    // As if the end had come after the third was taken, before that was noted.
    let mut config = world.read();
    config["outbox"] = json!([before["outbox"][2]]);
    config["delivery"]["telegram"]["next_id"] = 2.into();
    world.write(&config);
    let again = world.round(60).await.texts;
    assert_eq!(again.len(), 1);
    assert!(again[0].contains("<code>3</code>"));
}

#[tokio::test]
async fn while_a_message_is_sent_nobody_waits_for_a_lock_and_nobody_sends_it_too() {
    let world = World::with(1).await;
    let taken = ResponseTemplate::new(200).set_body_json(json!({"ok": true}));
    world.answers(taken.set_delay(std::time::Duration::from_millis(500))).await;
    let log = Log::new(Vec::new());
    let (first, second) = tokio::join!(world.machine.tell(&world.now, &log), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let began = std::time::Instant::now();
        let change = pm_core::edit::Edit::Add(
            "80".parse().unwrap(),
            pm_core::edit::Settings { quota: Some(None), ..pm_core::edit::Settings::default() },
        );
        world.machine.edit(&change, &world.now).await.unwrap();
        world.machine.minute(&world.now).await.unwrap();
        assert!(began.elapsed() < std::time::Duration::from_millis(300), "{:?}", began.elapsed());
        world.machine.tell(&world.now, &Log::new(Vec::new())).await
    });
    assert!(first.unwrap().is_empty() && second.unwrap().is_empty());
    assert_eq!((world.texts().await.len(), world.waiting()), (1, 0));
    assert!(world.read()["ports"]["80"].is_object(), "the edit is not lost");
}

#[tokio::test]
async fn what_the_operator_changes_while_a_message_is_sent_holds() {
    let world = World::with(2).await;
    let taken = ResponseTemplate::new(200).set_body_json(json!({"ok": true}));
    world.answers(taken.set_delay(std::time::Duration::from_millis(300))).await;
    let log = Log::new(Vec::new());
    let (round, ()) = tokio::join!(world.machine.tell(&world.now, &log), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut config = world.read();
        config["telegram"]["enable"] = false.into();
        world.write(&config);
    });
    assert!(round.unwrap().is_empty());
    assert_eq!((world.texts().await.len(), world.waiting()), (1, 1), "the second is no longer for Telegram");
}

#[tokio::test]
async fn another_channel_does_not_wait_for_telegram() {
    let world = World::with(2).await;
    let hook = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&hook).await;
    let mut config = world.read();
    config["channels"] = json!([{"type": "webhook", "name": "ops", "url": hook.uri()}]);
    world.write(&config);
    world.refuses(500, json!({})).await;
    world.round(0).await;
    assert_eq!((hook.received_requests().await.unwrap().len(), world.waiting()), (2, 2));
    world.takes().await;
    world.round(60).await;
    assert_eq!((hook.received_requests().await.unwrap().len(), world.waiting()), (2, 0));
}

#[tokio::test]
async fn a_test_is_sent_at_once_though_telegram_is_off() {
    let world = World::new().await;
    world.takes().await;
    let mut config = world.read();
    config["telegram"]["enable"] = false.into();
    world.write(&config);
    let told = world.machine.tell_now(Event::Test, Audience::Telegram, &world.now).await.unwrap();
    assert_eq!(told, [("telegram".to_owned(), Ok(()))]);
    world.refuses(401, refusal(401, "Unauthorized")).await;
    let told = world.machine.tell_now(Event::Test, Audience::Telegram, &world.now).await.unwrap();
    assert_eq!(told[0].1, Err(DeliveryError::Refused { code: 401, text: "Unauthorized".into() }));

    world.write(&json!({}));
    assert!(world.machine.tell_now(Event::Test, Audience::Telegram, &world.now).await.is_err());
}
