//! Addresses of the operator's choice: events as data with a signature, and texts for the push services.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pm_core::backend::{Notifier, Retry};
use pm_core::channel::{Channel, Service};
use pm_core::config::{Language, Secret};
use pm_core::event::{Event, Message, Subject};
use pm_notify::channel::{Channel as _, Content};
use pm_notify::webhook::SIGNATURE;
use pm_notify::{DeliveryError, Voice, Webhook};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const SECRET: &str = "SECabcdefghijklmnop";

fn webhook(service: Service, url: &str, body: Option<Value>) -> Webhook {
    let channel = Channel {
        name: "ops".into(),
        enable: true,
        service,
        url: Secret::new(url),
        secret: Secret::new(SECRET),
        body,
        proxy: Secret::default(),
        extra: serde_json::Map::new(),
    };
    let voice = Voice { host: "HK-Node1".into(), zone: TimeZone::UTC, language: Language::Zh };
    Webhook::new(&channel, voice, Timestamp::from_second(1_700_000_000).unwrap())
}

fn message(id: u64) -> Message {
    let subject =
        Subject { ports: vec!["10086".parse().unwrap()], comment: "a\"b{text}".into(), group: None };
    Message { id, at: Timestamp::UNIX_EPOCH, event: Event::Recovered { subject } }
}

async fn received(service: Service, answer: Value, body: Option<Value>) -> (Result<(), String>, Request) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(answer);
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let webhook = webhook(service, &format!("{}/hook?key=0123456789", server.uri()), body);
    let result = webhook.send(&message(1)).await;
    if let Err(error) = &result {
        let text = format!("{error} {error:?} {webhook:?}");
        assert!(!text.contains(SECRET) && !text.contains("0123456789"), "{text}");
    }
    (result.map_err(|error| error.to_string()), server.received_requests().await.unwrap().remove(0))
}

#[tokio::test]
async fn an_event_is_posted_as_data_with_a_signature_that_can_be_checked() {
    let (result, request) = received(Service::Webhook, json!({}), None).await;
    result.unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        body,
        json!({"id": 1, "at": "1970-01-01T00:00:00Z", "host": "HK-Node1",
            "event": {"type": "recovered", "subject": {"ports": ["10086"], "comment": "a\"b{text}"}}})
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = request.headers[SIGNATURE].to_str().unwrap().strip_prefix("sha256=").unwrap();
    let bytes: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    ring::hmac::verify(&key, &request.body, &bytes).unwrap();
}

#[tokio::test]
async fn a_body_of_the_operators_own_is_filled_in() {
    let template = json!({"content": "pm: {text}", "nested": [{"title": "{title} {unknown}"}], "number": 1});
    let (result, request) = received(Service::Webhook, json!({}), Some(template)).await;
    result.unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        body,
        json!({"content": "pm: ✅ 限速已恢复\n🏷 标识: HK-Node1 (a\"b{text})\n🔌 端口: 10086\n📈 惩罚期结束，已恢复原始速率",
            "nested": [{"title": "✅ 限速已恢复 {unknown}"}], "number": 1})
    );
}

#[tokio::test]
async fn each_service_gets_the_body_that_it_understands() {
    let rest = "🏷 标识: HK-Node1 (a\"b{text})\n🔌 端口: 10086\n📈 惩罚期结束，已恢复原始速率";
    let title = "✅ 限速已恢复";
    for (service, answer, expected) in [
        (Service::Bark, json!({"code": 200}), json!({"title": title, "body": rest, "group": "pm"})),
        (
            Service::WeCom,
            json!({"errcode": 0, "errmsg": "ok"}),
            json!({"msgtype": "text", "text": {"content": format!("{title}\n{rest}")}}),
        ),
        (
            Service::DingTalk,
            json!({"errcode": 0, "errmsg": "ok"}),
            json!({"msgtype": "text", "text": {"content": format!("{title}\n{rest}")}}),
        ),
        (
            Service::ServerChan,
            json!({"code": 0}),
            json!({"title": title, "desp": rest.replace('\n', "  \n")}),
        ),
    ] {
        let (result, request) = received(service, answer, None).await;
        result.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
        assert!(!request.headers.contains_key(SIGNATURE));
        assert_eq!(
            request.url.query().unwrap().contains("&timestamp=1700000000000&sign="),
            service == Service::DingTalk
        );
    }
}

#[tokio::test]
async fn a_refusal_that_comes_with_200_is_a_refusal() {
    let said = json!({"errcode": 93000, "errmsg": "invalid webhook url, key 0123456789"});
    let (result, _) = received(Service::WeCom, said, None).await;
    assert_eq!(result.unwrap_err(), "invalid webhook url, key *** (200)");
    let (result, _) = received(Service::Bark, json!({"hello": 1}), None).await;
    assert_eq!(result.unwrap_err(), "the answer is not that of bark");

    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200)
        .set_body_json(json!({"errcode": 45009, "errmsg": "api freq out of limit"}));
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let webhook = webhook(Service::WeCom, &server.uri(), None);
    let parcel = webhook.next(&[message(1)], 0).unwrap();
    let error = webhook.post(&parcel, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error.retry(), Retry::After(_)), "{error}");
}

#[tokio::test]
async fn an_address_that_is_none_is_not_repeated() {
    for wrong in ["", "example.com/SECRETKEY", "file:///etc/passwd"] {
        let webhook = webhook(Service::Webhook, wrong, None);
        let parcel = webhook.next(&[message(1)], 0).unwrap();
        let error = webhook.post(&parcel, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error, DeliveryError::Address("the url of a channel"));
    }
}

#[test]
fn data_goes_one_by_one_and_texts_of_many_as_a_digest() {
    let messages: Vec<Message> = (0..30).map(message).collect();
    let data = webhook(Service::Webhook, "http://x", None).next(&messages, 0).unwrap();
    assert_eq!((data.next, data.content), (1, Content::Data(message(0))));
    let text = webhook(Service::Bark, "http://x", None).next(&messages, 0).unwrap();
    assert_eq!((text.next, text.beyond, text.parts), (30, 30, 0));
}
