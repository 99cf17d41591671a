//! What people see before they agree to an import.

use pm_core::desired::Host;
use pm_core::edit::{Edit, Settings};
use pm_core::fake::FakeKernel;
use pm_monitor::transfer::rival::{Cycle, Gap, Reason};
use pm_monitor::{Machine, Paths};

use super::*;
use crate::text::Language;

const DOG: &[u8] = include_bytes!("../../../../../tests/fixtures/port-traffic-dog/present/config.json");
const DOG_USAGE: &[u8] =
    include_bytes!("../../../../../tests/fixtures/port-traffic-dog/present/traffic_data.json");
const COP: &[u8] = include_bytes!("../../../../../tests/fixtures/trafficcop/ports_traffic_config.json");

/// What an import would change on a machine that meters port 443, in both languages.
fn shown(import: Import) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kernel = FakeKernel::default();
    let host = || Host { default_interface: Some("lo".into()), forwards: false };
    let machine =
        Machine::new(Paths::under(folder.path()), Box::new(kernel.clone()), Box::new(kernel), Box::new(host));
    let now = "2026-03-10T12:00:00+08:00[Asia/Shanghai]".parse().unwrap();
    let add = Edit::Add("443".parse().unwrap(), Settings { quota: Some(None), ..Settings::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = runtime.block_on(async {
        machine.edit(&add, &now).await.unwrap();
        machine.plan(import, &now).await.unwrap()
    });
    [Language::Zh, Language::En].map(|language| comparison(&plan, language.texts())).join("\n")
}

#[test]
fn the_ports_of_port_traffic_dog_are_shown_with_what_does_not_come_along() {
    insta::assert_snapshot!(shown(Import::of_rival(Rival::PortTrafficDog, DOG, Some(DOG_USAGE)).unwrap()));
}

#[test]
fn the_ports_of_trafficcop_are_shown_with_what_does_not_come_along() {
    insta::assert_snapshot!(shown(Import::of_rival(Rival::TrafficCop, COP, None).unwrap()));
}

#[test]
fn every_reason_is_a_sentence_in_both_languages() {
    let range: PortRange = "20000-20100".parse().unwrap();
    let some = || "45".to_owned();
    let (there, here) = (Bytes(100 << 30), Bytes(50 << 30));
    let reasons = [
        Reason::NotAPort,
        Reason::WholeMachine,
        Reason::Present,
        Reason::Overlaps(range),
        Reason::Repeated(range),
        Reason::Quota(some()),
        Reason::QuotaOff(some()),
        Reason::CountedTwice { there, here },
        Reason::Tolerance { there, here },
        Reason::Throttle(some()),
        Reason::InboundAlone,
        Reason::Larger,
        Reason::Limit(some()),
        Reason::LimitReserved,
        Reason::LimitShared,
        Reason::ResetDay(some()),
        Reason::Cycle(Cycle::Days(some())),
        Reason::Cycle(Cycle::Months(some())),
        Reason::Cycle(Cycle::Year),
        Reason::Cycle(Cycle::Once(some())),
        Reason::Ends(some()),
        Reason::GroupUsage(range),
        Reason::Usage(some()),
        Reason::Comment,
        Reason::NoUsage(Rival::PortTrafficDog),
        Reason::NoUsage(Rival::TrafficCop),
        Reason::Report,
        Reason::Uploads,
        Reason::TelegramPresent,
        Reason::Telegram,
        Reason::Interval(some()),
        Reason::Channel(some()),
    ];
    let lines = [Language::Zh, Language::En].map(|language| {
        let lines = reasons.iter().map(|reason| {
            let gap = Gap { subject: "443".into(), reason: reason.clone() };
            gap::line(&gap, &language.texts().transfer)
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let lines = lines.join("\n\n");
    assert!(!lines.contains("{}"), "{lines}");
    insta::assert_snapshot!(lines);
}
