//! Telegram that accepts, refuses, throttles, hangs, hangs up, points elsewhere, talks nonsense and talks for ever; and the
//! token, which must not be seen in any of it.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pm_core::backend::{Notifier, Retry};
use pm_core::config::{self, Language, Secret};
use pm_core::event::{Event, Message, Subject};
use pm_notify::channel::Channel;
use pm_notify::{DeliveryError, Telegram, Voice};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const TOKEN: &str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz-_0";
const SECRET_PART: &str = "ABCdefGHIjklMNOpqrSTUvwxyz";
const PATIENCE: Duration = Duration::from_secs(5);

fn telegram(api_url: &str) -> Telegram {
    telegram_behind(api_url, "")
}

fn telegram_behind(api_url: &str, proxy: &str) -> Telegram {
    telegram_to(json!("-1001234567890"), api_url, proxy)
}

fn telegram_to(chat_id: Value, api_url: &str, proxy: &str) -> Telegram {
    let config = config::Telegram {
        enable: true,
        bot_token: Secret::new(TOKEN),
        chat_id,
        api_url: api_url.into(),
        proxy: Secret::new(proxy),
        ..config::Telegram::default()
    };
    let voice = Voice { host: "HK_Node*1".into(), zone: TimeZone::UTC, language: Language::Zh };
    Telegram::new(&config, voice)
}

fn message(comment: &str) -> Message {
    let subject = Subject { ports: vec!["10086".parse().unwrap()], comment: comment.into(), group: None };
    Message { id: 1, at: Timestamp::UNIX_EPOCH, event: Event::Recovered { subject } }
}

async fn told(telegram: &Telegram) -> Result<(), DeliveryError> {
    let parcel = telegram.next(&[message("Snell")], 0).unwrap();
    let result = telegram.post(&parcel, PATIENCE).await;
    if let Err(error) = &result {
        assert_has_no_token(error);
    }
    assert_has_no_token_in(&format!("{telegram:?}"));
    result
}

/// Display, Debug, and the whole chain of sources.
fn assert_has_no_token(error: &(dyn std::error::Error + 'static)) {
    let mut link = Some(error);
    while let Some(error) = link {
        assert_has_no_token_in(&format!("{error} {error:?} {error:#?}"));
        link = error.source();
    }
}

fn assert_has_no_token_in(text: &str) {
    assert!(!text.contains(SECRET_PART), "the token is in {text}");
}

async fn answering(status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

/// A server that reads one request and answers with these bytes, or hangs when there are none.
async fn raw(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let _ = stream.read(&mut request).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    format!("http://{address}")
}

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_remark_arrives_as_it_was_typed_and_changes_nothing_else() {
    let server = answering(200, json!({"ok": true, "result": {}})).await;
    let remark = "a&chat_id=999+%41 <b>_*`[x](y)\n\u{202e}rtl \u{1f600}";
    telegram(&server.uri()).send(&message(remark)).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(requests[0].url.path(), format!("/bot{TOKEN}/sendMessage"));
    assert_eq!(body["chat_id"], "-1001234567890");
    assert_eq!(body["parse_mode"], "HTML");
    let label = remark.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(
        body["text"],
        format!(
            "✅ <b>限速已恢复</b>\n🏷 标识: <b>HK_Node*1 ({label})</b>\n🔌 端口: <code>10086</code>\n📈 惩罚期结束，已恢复原始速率"
        )
    );
}

#[tokio::test]
async fn the_address_may_have_a_path_and_a_slash_at_its_end() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"ok": true}));
    let expected = path(format!("/tg/proxy/bot{TOKEN}/sendMessage"));
    Mock::given(expected).respond_with(answer).expect(2).mount(&server).await;
    for tail in ["/tg/proxy", "/tg/proxy/"] {
        told(&telegram(&format!("{}{tail}", server.uri()))).await.unwrap();
    }
}

#[tokio::test]
async fn refusals_are_for_ever_and_in_telegrams_own_words() {
    for (code, words) in [
        (400, "Bad Request: chat not found"),
        (401, "Unauthorized"),
        (403, "Forbidden: bot was kicked from the supergroup chat"),
        (404, "Not Found"),
    ] {
        let server = answering(code, json!({"ok": false, "error_code": code, "description": words})).await;
        let error = told(&telegram(&server.uri())).await.unwrap_err();
        assert_eq!(error, DeliveryError::Refused { code, text: words.into() });
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn a_mirror_that_says_only_200_is_still_understood() {
    let words = json!({"ok": false, "error_code": 403, "description": "Forbidden"});
    let server = answering(200, words).await;
    let error = told(&telegram(&server.uri())).await.unwrap_err();
    assert_eq!(error, DeliveryError::Refused { code: 403, text: "Forbidden".into() });
}

#[tokio::test]
async fn an_answer_that_repeats_the_token_is_shown_without_it() {
    let words = format!("no such method: /bot{TOKEN}/sendMessage and bot123456789%3A{SECRET_PART}-_0");
    let server = answering(404, json!({"ok": false, "description": words})).await;
    let error = told(&telegram(&server.uri())).await.unwrap_err();
    assert_eq!(error.to_string(), "no such method: /bot***/sendMessage and bot***%3A*** (404)");
}

#[tokio::test]
async fn throttling_is_waited_for_as_long_as_it_says() {
    let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35", "parameters": {"retry_after": 35}});
    let server = answering(429, body).await;
    let error = told(&telegram(&server.uri())).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(35)));

    let address = raw(response("429 Too Many Requests\r\nRetry-After: 7", b"slow down")).await;
    assert_eq!(told(&telegram(&address)).await.unwrap_err().retry(), Retry::After(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_says_its_new_number_and_nobody_else_has_another() {
    let upgraded = |chat: i64| json!({"ok": false, "error_code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat", "parameters": {"migrate_to_chat_id": chat}});
    for (from, to, is_followed) in [
        (json!("-987654321"), -1_009_876_543_210, true),
        (json!(-100_200), -1_009_876_543_210, true),
        (json!("-987654321"), -987_654_322, false),
        (json!("-987654321"), 987_654_321, false),
        (json!("-1001234567890"), -1_009_876_543_210, false),
        (json!(987_654_321), -1_009_876_543_210, false),
        (json!("@channel"), -1_009_876_543_210, false),
    ] {
        let server = answering(400, upgraded(to)).await;
        let error = told(&telegram_to(from.clone(), &server.uri(), "")).await.unwrap_err();
        let moved = matches!(&error, DeliveryError::Moved { chat, .. } if *chat == to);
        assert_eq!(moved, is_followed, "{from} {to}: {error}");
        assert!(moved || matches!(error, DeliveryError::Refused { code: 400, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answering(200, json!({"ok": true})).await;
    let location = format!("302 Found\r\nLocation: {}/bot{TOKEN}/sendMessage", elsewhere.uri());
    let address = raw(response(&location, b"")).await;
    let error = told(&telegram(&address)).await.unwrap_err();
    assert_eq!((&error, error.retry()), (&DeliveryError::Redirected(302), Retry::Later));
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn faults_of_the_server_are_tried_again() {
    for answer in [
        response("500 Internal Server Error", b"{}"),
        response("502 Bad Gateway", b"<html>nginx</html>"),
        response("200 OK", b"<html>a captive portal</html>"),
        response("200 OK", b""),
        response("200 OK", b"\xff\xfe\x00"),
        response("200 OK", b"[1,2,3]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ok".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"HTTP/1.1 ".to_vec(),
    ] {
        let error = told(&telegram(&raw(answer).await)).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Later, "{error}");
    }
}

#[tokio::test]
async fn an_answer_of_five_megabytes_is_read_as_far_as_is_worth_it() {
    let garbage = vec![b'x'; 5 << 20];
    let error = told(&telegram(&raw(response("200 OK", &garbage)).await)).await.unwrap_err();
    assert_eq!(error, DeliveryError::Foreign("the Bot API"));

    let taken = [br#"{"ok":true,"result":""#.as_slice(), &garbage, b"\"}"].concat();
    told(&telegram(&raw(response("200 OK", &taken)).await)).await.unwrap();

    let words = json!({"ok": false, "error_code": 400, "description": "long ".repeat(2000)}).to_string();
    let error = told(&telegram(&raw(response("400 Bad Request", words.as_bytes())).await)).await.unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
}

#[tokio::test]
async fn whoever_never_answers_is_not_waited_for() {
    let silent = telegram(&raw(Vec::new()).await);
    let parcel = silent.next(&[message("Snell")], 0).unwrap();
    let error = silent.post(&parcel, Duration::from_millis(200)).await.unwrap_err();
    assert_has_no_token(&error);
    assert_eq!(error, DeliveryError::TimedOut(Duration::from_millis(200)));
}

#[tokio::test]
async fn nobody_at_the_address_and_no_address_at_all() {
    let error = told(&telegram("http://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Unreachable(reason) if reason.contains("refused")), "{error}");
    let error = told(&telegram("https://no-such-host.invalid")).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Unreachable(_) | DeliveryError::TimedOut(_)), "{error}");
    for wrong in [
        "",
        "api.telegram.org",
        "ftp://example.com",
        "http://",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "unix:/run/x.sock",
        "httpx://example.com",
        "data:,x",
        "gopher://example.com:70/",
    ] {
        let error = told(&telegram(wrong)).await.unwrap_err();
        assert_eq!(error, DeliveryError::Address("telegram's api_url"), "{wrong}");
    }
    let refusal = telegram("http://127.0.0.1:1").send(&message("x")).await.unwrap_err();
    assert_has_no_token(&refusal);
}

#[tokio::test]
async fn nothing_is_sent_to_a_link_local_address() {
    for wrong in [
        "http://169.254.169.254/latest",
        "http://2852039166",
        "https://[fe80::1]",
        "http://[::ffff:169.254.169.254]",
        "http://u:p@100.100.100.200",
    ] {
        let error = told(&telegram(wrong)).await.unwrap_err();
        assert_eq!(error, DeliveryError::OutOfBounds("telegram's api_url"), "{wrong}");
    }
}

#[tokio::test]
async fn an_answer_that_repeats_the_password_of_the_address_is_shown_without_it() {
    let echo = json!({"ok": false, "error_code": 403, "description": "Forbidden for op:s3cret, Basic b3A6czNjcmV0, s3cret"});
    let server = answering(403, echo).await;
    let error =
        told(&telegram(&server.uri().replace("http://", "http://op:s3cret@"))).await.unwrap_err().to_string();
    assert_eq!(error, "Forbidden for ***, Basic ***, *** (403)");
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent[0].headers["authorization"], "Basic b3A6czNjcmV0");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_no_connection() {
    // It answers the handshake with something that is none.
    let address = raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).await.replace("http://", "https://");
    let error = told(&telegram(&address)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
}

#[tokio::test]
async fn an_http_proxy_is_asked_for_the_whole_address() {
    let proxy = answering(200, json!({"ok": true})).await;
    told(&telegram_behind("http://api.example", &proxy.uri())).await.unwrap();
    let requests = proxy.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["host"], "api.example");
    assert_eq!(requests[0].url.path(), format!("/bot{TOKEN}/sendMessage"));
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = vec![0; 4096];
        // Greeting, "no password"; the request for a name, granted; then HTTP.
        let _ = stream.read(&mut read).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        let count = stream.read(&mut read).await.unwrap();
        let wanted = read[..count].to_vec();
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await.unwrap();
        let _ = stream.read(&mut read).await.unwrap();
        stream.write_all(&response("200 OK", b"{\"ok\":true}")).await.unwrap();
        wanted
    });
    told(&telegram_behind("http://api.example", &format!("socks5://{address}"))).await.unwrap();
    let wanted = proxy.await.unwrap();
    assert!(wanted.windows(11).any(|window| window == b"api.example"), "{wanted:?}");
}

#[tokio::test]
async fn a_proxy_that_is_none_says_so_without_its_password() {
    let error = told(&telegram_behind("http://api.example", "http://u:hunter2hunter2@127.0.0.1:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, DeliveryError::Unreachable(_)), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}
