//! Files that nobody thought of: whatever is written is read alike, and whatever is broken is refused.

use super::super::document::{Document, Entries};
use super::*;

fn moment() -> impl Strategy<Value = Timestamp> {
    (1_i64..253_402_207_200_000).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

fn rate() -> impl Strategy<Value = Rate> {
    (1..=Rate::MAX_LIMIT.as_bits_per_second()).prop_map(Rate::bits_per_second)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![0_u64..1 << 45, any::<u64>()].prop_map(Bytes)
}

fn policy() -> impl Strategy<Value = DynQosPolicy> {
    (0_u32..9, rate(), rate(), 0_u32..525_600).prop_map(|(minutes, trigger, penalty, duration)| {
        DynQosPolicy { trigger, minutes, penalty, duration }
    })
}

fn port_config() -> impl Strategy<Value = PortConfig> {
    let shared = (
        proptest::option::of((0..=Bytes::MAX_QUOTA.0).prop_map(Bytes)),
        proptest::sample::select(vec![Mode::Both, Mode::OutOnly]),
        (0_u8..32).prop_map(ResetDay::new),
        proptest::sample::select(vec![None, Some("g"), Some("家庭")]),
    );
    let own = (proptest::option::of(rate()), any::<String>(), any::<bool>(), proptest::option::of(policy()));
    (shared, own).prop_map(|((quota, mode, reset_day, group), (limit, comment, enabled, policy))| {
        PortConfig {
            quota,
            mode,
            limit,
            reset_day,
            comment,
            group: group.map(|name| GroupId::new(name).unwrap()),
            dynqos: DynQosConfig { enabled, policy },
        }
    })
}

/// Both meters of an entry are marked by one reading, or by the script.
fn ledger() -> impl Strategy<Value = Ledger> {
    let identity = (any::<u128>(), any::<u64>(), any::<u64>());
    let counters = (proptest::option::of(any::<u64>()), proptest::option::of(any::<u64>()));
    (identity, counters, any::<bool>(), [bytes(), bytes(), bytes(), bytes()]).prop_map(
        |((kernel, init, table), (inbound, outbound), script, [used_in, used_out, last_in, last_out])| {
            let boot = BootId { kernel, init };
            let mark = |bytes: Bytes, counter: Option<u64>| match (script, counter) {
                (true, _) => Some(Mark { bytes, origin: None }),
                (false, Some(counter)) => {
                    Some(Mark { bytes, origin: Some(CounterId { boot, table, counter }) })
                }
                (false, None) => None,
            };
            Ledger {
                inbound: Meter { used: used_in, mark: mark(last_in, inbound) },
                outbound: Meter { used: used_out, mark: mark(last_out, outbound) },
            }
        },
    )
}

fn port_state() -> impl Strategy<Value = PortState> {
    let dynqos = prop_oneof![
        (0_u32..9).prop_map(|strikes| DynQos::Watching { strikes }),
        moment().prop_map(|until| DynQos::Punished { until }),
    ];
    let window =
        (proptest::option::of(moment()), bytes()).prop_map(|(since, bytes)| RateWindow { since, bytes });
    (ledger(), dynqos, window, proptest::option::of(moment()))
        .prop_map(|(ledger, dynqos, window, last_reset)| PortState { ledger, dynqos, window, last_reset })
}

fn chronicle() -> impl Strategy<Value = Chronicle> {
    let what = prop_oneof![
        Just(What::Reset),
        (0_u8..=100).prop_map(|level| What::Warning { level }),
        Just(What::Blocked),
        (rate(), 0_u32..525_600).prop_map(|(penalty, minutes)| What::Punished { penalty, minutes }),
        Just(What::Recovered),
    ];
    let happening = (moment(), what).prop_map(|(at, what)| Happening { at, what });
    proptest::collection::vec(happening, 0..30).prop_map(Chronicle::from_iter)
}

fn account_state() -> impl Strategy<Value = AccountState> {
    let cutoff = proptest::option::of((bytes(), bytes()).prop_map(|(used, limit)| Cutoff { used, limit }));
    let date = moment().prop_map(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC).date());
    let marks =
        ((0_u8..32).prop_map(ResetDay::new), proptest::option::of(moment()), proptest::option::of(date));
    let reset = marks.prop_map(|(day, done, date)| ResetMark { day, done, date });
    (0_u8..=100, any::<bool>(), cutoff, reset).prop_map(|(level, block_told, cutoff, reset)| AccountState {
        level,
        block_told,
        cutoff,
        reset,
    })
}

fn telegram() -> impl Strategy<Value = Telegram> {
    let chat = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    let thresholds = proptest::collection::btree_set(1_u8..=100, 0..5);
    let ours = (any::<String>(), proptest::sample::select(vec![Language::Zh, Language::En]));
    (any::<bool>(), any::<String>(), chat, ".+", thresholds, 0_u32..200, ours).prop_map(
        |(enable, bot_token, chat_id, api_url, thresholds, report_interval_hours, ours)| Telegram {
            enable,
            bot_token: Secret::new(bot_token),
            chat_id,
            api_url,
            thresholds: Thresholds::new(thresholds).unwrap(),
            report_interval_hours,
            proxy: Secret::new(ours.0),
            language: ours.1,
        },
    )
}

fn channel() -> impl Strategy<Value = Channel> {
    let texts = (any::<String>(), any::<String>(), any::<String>());
    let body = proptest::option::of(any::<String>().prop_map(|text| json!({ "words": [text] })));
    (any::<bool>(), proptest::sample::select(Service::ALL.to_vec()), texts, body).prop_map(
        |(enable, service, (url, secret, proxy), body)| Channel {
            name: service.name().into(),
            enable,
            service,
            url: Secret::new(url),
            secret: Secret::new(secret),
            body,
            proxy: Secret::new(proxy),
            extra: Map::new(),
        },
    )
}

fn progress() -> impl Strategy<Value = Progress> {
    let error = (moment(), any::<String>()).prop_map(|(at, text)| LastError { at, text });
    let counts = (0_u32..9, 0_u32..9);
    let recent = proptest::collection::vec(moment(), 0..3);
    (counts, proptest::option::of(moment()), recent, proptest::option::of(error)).prop_map(
        |((parts, failures), not_before, recent, last_error)| Progress {
            next: 0,
            parts,
            failures,
            not_before,
            recent,
            last_error,
        },
    )
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    const KEYS: [&str; 6] = ["80", "443", "10086", "20000-20100", "65534", "65535"];
    let entries = proptest::sample::subsequence(KEYS.to_vec(), 0..=KEYS.len()).prop_flat_map(|keys| {
        let count = keys.len();
        let contents =
            proptest::collection::vec((port_config(), port_state(), account_state(), chronicle()), count);
        (Just(keys), contents)
    });
    let top = (proptest::option::of("[a-z0-9@.]{1,15}"), any::<bool>(), 0_usize..3, telegram());
    let rest = (proptest::option::of(moment()), proptest::option::of(moment()), 0_usize..3, any::<u32>());
    let told = (proptest::option::of(channel()), proptest::option::of(progress()));
    (entries, top, rest, told).prop_map(
        |((keys, contents), top, (last_run, last_report, messages, next_id), told)| {
            let mut snapshot = Snapshot::default();
            let Snapshot { config, state, .. } = &mut snapshot;
            for (key, (settings, known, account, chronicle)) in keys.into_iter().zip(contents) {
                state.accounts.insert(AccountId::of(port(key), &settings), account);
                state.ports.insert(port(key), known);
                state.chronicles.insert(port(key), chronicle);
                config.ports.insert(port(key), settings);
            }
            (config.interface, config.take_over_qdisc, config.telegram) = (top.0, top.1, top.3);
            config.forward = [ForwardPolicy::Auto, ForwardPolicy::On, ForwardPolicy::Off][top.2];
            (state.last_run, state.last_report) = (last_run, last_report);
            config.channels.extend(told.0);
            state.outbox.progress.extend(told.1.map(|progress| ("telegram".into(), progress)));
            state.outbox.next_id = next_id.into();
            for _ in 0..messages {
                state.outbox.push(Timestamp::UNIX_EPOCH, Event::Test);
            }
            snapshot
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_written_alike(snapshot in snapshots()) {
        let first = encode(&snapshot);
        let read = decode(&first).map_err(|error| TestCaseError::fail(error.to_string()))?.snapshot;
        let second = encode(&read);
        prop_assert_eq!(String::from_utf8(second.clone()), String::from_utf8(first));
        prop_assert_eq!(decode(&second).map_err(|error| TestCaseError::fail(error.to_string()))?.snapshot, read);
    }

    #[test]
    fn a_file_of_our_form_says_what_any_json_says(
        snapshot in snapshots(), place in any::<proptest::sample::Index>(), with in "[ \\n{}\\[\\],:\"0-9a-z]{0,3}",
    ) {
        let text = encode(&snapshot);
        prop_assert!(Document::of_our_form(&text).is_some());
        let place = place.index(text.len());
        let changed = |gone: usize| {
            let mut text = text.clone();
            text.splice(place..(place + gone).min(text.len()), with.bytes());
            text
        };
        for text in [text.clone(), changed(0), changed(1), changed(5)] {
            if let Some(document) = Document::of_our_form(&text) {
                let any_json = super::super::read::<Document<Entries>>(&text);
                let any_json = any_json.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(document.into_snapshot(), any_json.into_snapshot());
            }
        }
    }

    #[test]
    fn a_broken_file_is_refused_or_read_but_never_a_panic(
        mut text in Just(encode(&full())), place in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let place = place.index(text.len());
        text[place] = byte;
        let _ = decode(&text);
        text.truncate(place);
        prop_assert!(place + 1 == encode(&full()).len() || decode(&text).is_err());
    }
}
