//! What went wrong, or should be known, in the operator's language.

use std::error::Error;
use std::io;
use std::iter;
use std::path::Path;

use pm_core::backend::{BackendError, Fault};
use pm_core::config::EntryError;
use pm_core::edit::telegram::TelegramError;
use pm_core::edit::{self, EditError};
use pm_core::port::PortRange;
use pm_core::wire::{Warning, WireError};
use pm_monitor::host::Outgoing;
use pm_monitor::lock::LockError;
use pm_monitor::machine::{MachineError, View};
use pm_monitor::outcome::Note;
use pm_monitor::ownership::Shared;
use pm_monitor::run::whole;
use pm_monitor::store::StoreError;
use pm_monitor::{NetfilterError, ShaperError, ToolError};
use pm_release::ReleaseError;

use crate::text::{FaultTexts, MenuTexts, Texts, fill};

/// Why a minute, a view or a change did not come about.
pub(crate) fn machine(error: &MachineError, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return whole(error) };
    match error {
        MachineError::Lock(LockError::Open { path, source }) => {
            fill(words.lock, &[&shown(path), &source.to_string(), remedy(source, words)])
        }
        MachineError::Lock(LockError::Busy { path, seconds: _ }) => {
            fill(words.busy, &[&shown(path), &shown(path)])
        }
        MachineError::Store(error) => store(error, words),
        MachineError::Read(error) => fill(words.unread, &[&backend(error, texts)]),
        MachineError::Edit(error) => refusal(error, &texts.menu),
        MachineError::NoInterface(name) => fill(words.no_interface, &[name]),
    }
}

fn store(error: &StoreError, words: &FaultTexts) -> String {
    match error {
        StoreError::Unreadable { path, backup, source: WireError { line, column, field, reason } } => {
            let (line, column) = (line.to_string(), column.to_string());
            let place = if field.is_empty() { words.place } else { words.field };
            let place = fill(place, &[&line, &column, field]);
            fill(words.unusable, &[&shown(path), &place, reason, &shown(backup), &shown(path)])
        }
        StoreError::Gone { path, backup } => {
            fill(words.gone, &[&shown(path), &shown(backup), &shown(path), &shown(backup)])
        }
        StoreError::Read { path, source } => {
            fill(words.cannot_read, &[&shown(path), &source.to_string(), remedy(source, words)])
        }
        StoreError::Write { path, source } => {
            fill(words.cannot_write, &[&shown(path), &source.to_string(), remedy(source, words)])
        }
        StoreError::Unconfirmed { path, source } => {
            fill(words.unconfirmed, &[&shown(path), &source.to_string()])
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn remedy(error: &io::Error, words: &FaultTexts) -> &'static str {
    let kinds =
        [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem];
    let known = kinds.into_iter().zip(words.remedies).find(|(kind, _)| *kind == error.kind());
    known.map_or("", |(_, remedy)| remedy)
}

/// Why the kernel could not be read or brought into force. What is rare is quoted as the tool said it.
pub(crate) fn backend(error: &BackendError, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return error.to_string() };
    let source: &(dyn Error + 'static) = error.source.as_ref();
    match cause::<ToolError>(source) {
        Some(ToolError::NotFound { name, package }) => return fill(words.no_tool, &[name, package]),
        Some(ToolError::TimedOut { name, seconds }) => {
            return fill(words.slow_tool, &[name, &seconds.to_string()]);
        }
        _ if error.fault == Fault::Permission => return words.no_root.to_owned(),
        _ => {}
    }
    match source.downcast_ref() {
        Some(ShaperError::Occupied { interface, kind, handle }) => {
            return fill(words.occupied, &[interface, kind, handle, interface]);
        }
        Some(ShaperError::NoSuchInterface(name)) => return fill(words.unknown_interface, &[name]),
        Some(ShaperError::NoInterface) => return texts.menu.shaping_waits.to_owned(),
        Some(ShaperError::NoHtb(_)) => return words.no_htb.to_owned(),
        Some(_) => return fill(words.shaper, &[&error.to_string()]),
        None => {}
    }
    match source.downcast_ref() {
        Some(NetfilterError::Unsupported(_)) => words.no_nftables.to_owned(),
        Some(NetfilterError::Restless) => words.restless.to_owned(),
        Some(_) => fill(words.firewall, &[&error.to_string()]),
        None => fill(words.other, &[&error.to_string()]),
    }
}

/// Why there was no update.
pub(crate) fn release(error: &ReleaseError, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return whole(error) };
    match error {
        ReleaseError::NoSource => words.no_release_address.to_owned(),
        ReleaseError::Address => words.release_address.to_owned(),
        ReleaseError::Shared { path } => fill(words.release_shared, &[&shown(path)]),
        ReleaseError::Key => words.release_key.to_owned(),
        ReleaseError::Unreachable { file, host, reason } => {
            fill(words.release_unreachable, &[host, file, reason])
        }
        ReleaseError::Refused { file, host, status } => {
            fill(words.release_refused, &[host, file, &status.to_string()])
        }
        ReleaseError::Description { host, reason, .. } => fill(words.no_release, &[host, reason]),
        ReleaseError::NoTarget { version, target } => fill(words.no_program, &[&version.to_string(), target]),
        ReleaseError::Older { offered, present } => {
            fill(words.older_release, &[&offered.to_string(), &present.to_string()])
        }
        ReleaseError::Short { file, .. }
        | ReleaseError::Damaged { file }
        | ReleaseError::TooLong { file, .. } => fill(words.damaged, &[file]),
        ReleaseError::Signature { file, .. } | ReleaseError::Mislabelled { file, .. } => {
            fill(words.forged, &[file, &whole(error)])
        }
        ReleaseError::DoesNotRun { name, .. } | ReleaseError::SaysOtherwise { name, .. } => {
            fill(words.unusable_program, &[name, &whole(error)])
        }
        ReleaseError::NotInstalled { path } => fill(words.not_installed, &[&shown(path)]),
        ReleaseError::NoSpace { folder, .. } => fill(words.no_room, &[&shown(folder)]),
        ReleaseError::Setup(_) | ReleaseError::NoOld { .. } | ReleaseError::File { .. } | _ => whole(error),
    }
}

/// The error of this type among an error and its causes.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// Why the figures are not live, when they are not.
pub(crate) fn stale(view: &View, texts: &Texts) -> Option<String> {
    let (Some(words), Some(error)) = (&texts.faults, &view.unread) else { return view.stale_note() };
    let why = match error.fault {
        Fault::Permission => words.live_needs_root.to_owned(),
        Fault::Missing | Fault::Occupied | Fault::Failed => backend(error, texts),
    };
    Some(fill(words.stale, &[&why]))
}

/// Something to know about a change.
pub(crate) fn note(note: &Note, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return note.to_string() };
    match note {
        Note::File(about) => warning(about, texts),
        Note::Edit(edit::Note::HoldsForGroup { group, members }) => {
            fill(words.holds_for_group, &[group.as_str(), &listed(members)])
        }
        Note::Edit(edit::Note::UsageStays { group, left }) => {
            fill(words.usage_stays, &[&listed(left), group.as_str()])
        }
        Note::Shared(shared) => self::shared(shared, texts),
        Note::Counter(alarm) => {
            let direction = if alarm.direction == "in" { texts.inbound } else { texts.outbound };
            let (from, to) = (alarm.from.0.to_string(), alarm.to.0.to_string());
            fill(words.counter, &[&alarm.port.to_string(), direction, &from, &to])
        }
        Note::Interface { foreign, instead } => {
            let instead =
                instead.as_ref().map_or(words.default_interface.to_owned(), |name| format!(" {name} "));
            fill(words.foreign_interface, &[foreign, &instead])
        }
        Note::Releases => words.foreign_releases.to_owned(),
    }
}

/// That somebody else can change the configuration.
pub(crate) fn shared(shared: &Shared, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return shared.to_string() };
    match shared.owner {
        Some(user) => fill(words.shared_with_owner, &[&self::shown(&shared.path), &user.to_string()]),
        None => fill(words.shared, &[&self::shown(&shared.path)]),
    }
}

/// Something to point out about the file.
pub(crate) fn warning(warning: &Warning, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return warning.to_string() };
    let of_port = |text, port: &PortRange| fill(text, &[&port.to_string(), &port.to_string()]);
    match warning {
        Warning::IdlePenalty(port) => of_port(words.idle_penalty, port),
        Warning::ThresholdOfNothing => words.threshold_of_nothing.to_owned(),
        Warning::QuotaOfNothing(port) => of_port(words.quota_of_nothing, port),
        Warning::ReservedClass(port) => of_port(words.reserved_class, port),
        Warning::Disagreement { lead, port, group } => {
            let (lead, port) = (lead.to_string(), port.to_string());
            fill(words.disagreement, &[group, &lead, &port, &lead, &lead])
        }
    }
}

/// That a port collects the machine's own connections too.
pub(crate) fn outgoing(note: &Outgoing, texts: &Texts) -> String {
    let Some(words) = &texts.faults else { return note.to_string() };
    let (port, range) = (note.port.to_string(), &note.range);
    fill(words.outgoing, &[&port, &range.start().to_string(), &range.end().to_string(), &port])
}

fn listed(ports: &[PortRange]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
}

/// Why a change was refused.
pub(crate) fn refusal(error: &EditError, texts: &MenuTexts) -> String {
    match error {
        EditError::Exists(_) => texts.port_exists.to_owned(),
        EditError::Overlaps { other, .. } => {
            fill(texts.port_overlaps, &[&other.to_string(), &other.to_string()])
        }
        EditError::Entry(EntryError::Unknown(port) | EntryError::Within { port, .. }) => {
            fill(texts.gone, &[&port.to_string()])
        }
        EditError::NoQuota(_) | EditError::Quota(_) => texts.wrong_quota.to_owned(),
        EditError::GroupDiffers { port, group, present, .. } => {
            fill(texts.group_differs, &[&port.to_string(), group, present])
        }
        EditError::ReservedClass(_) => texts.reserved_class.to_owned(),
        EditError::Comment(_) => texts.long_remark.to_owned(),
        EditError::Telegram(TelegramError::Incomplete) => texts.telegram.incomplete.to_owned(),
        // The questions about these explain what is allowed before an edit is tried.
        EditError::Penalty { .. } | EditError::Telegram(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use pm_core::tick::Alarm;
    use pm_core::units::Bytes;

    use super::*;
    use crate::text::Language;

    fn port(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    fn in_chinese(fault: Fault, source: impl Into<Box<dyn Error + Send + Sync>>) -> String {
        let error = BackendError::new(fault, source);
        assert_eq!(backend(&error, Language::En.texts()), error.to_string());
        backend(&error, Language::Zh.texts())
    }

    fn told(error: impl Into<MachineError>) -> String {
        let error = error.into();
        assert_eq!(machine(&error, Language::En.texts()), whole(&error));
        machine(&error, Language::Zh.texts())
    }

    #[test]
    fn a_program_that_is_missing_or_slow_is_named_with_the_remedy() {
        let missing = ToolError::NotFound { name: "nft", package: "nftables" };
        assert_eq!(
            in_chinese(Fault::Missing, NetfilterError::List(missing)),
            "没有找到程序 nft: 请安装, 例如 apt install nftables。"
        );
        let slow = ToolError::TimedOut { name: "nft", seconds: 10 };
        let slow = in_chinese(Fault::Failed, NetfilterError::Write(slow));
        assert_eq!(slow, "程序 nft 在 10 秒内没有结束, 已被终止: 请稍后再试。");
    }

    #[test]
    fn what_stands_in_the_way_of_limits_is_told_with_the_remedy() {
        let (interface, kind, handle) = ("eth0".into(), "cake".into(), "8001:".into());
        assert_eq!(
            in_chinese(Fault::Occupied, ShaperError::Occupied { interface, kind, handle }),
            "网卡 eth0 上已有别人设置的 cake (8001:), 因此没有限速: 用 pm set --interface eth0 --take-over 替换它。"
        );
        let unknown = in_chinese(Fault::Failed, ShaperError::NoSuchInterface("eth9".into()));
        assert!(unknown.starts_with("没有网卡 eth9, 因此没有限速: "), "{unknown}");
        assert!(in_chinese(Fault::Failed, ShaperError::NoInterface).contains("本机没有默认路由"));
        let rare = in_chinese(Fault::Failed, ShaperError::Unstable("eth0".into()));
        assert!(rare.starts_with("限速 (HTB) 设置失败: 「the limits on `eth0`"), "{rare}");
    }

    #[test]
    fn whoever_is_not_root_is_told_so() {
        let denied = in_chinese(Fault::Permission, "operation not permitted");
        assert_eq!(denied, "没有权限: 请用 root 运行 (例如 sudo pm)。");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let write = told(StoreError::Write { path: "/etc/x".into(), source: denied() });
        assert!(write.starts_with("无法写入 /etc/x, 未作任何更改: 「"), "{write}");
        let lock = told(LockError::Open { path: "/run/x".into(), source: denied() });
        assert!(lock.starts_with("无法打开锁文件 /run/x: 「"), "{lock}");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let read = told(StoreError::Read { path: "/etc/x".into(), source: full });
        for (text, remedy) in [(write, "root"), (lock, "root"), (read, "df")] {
            assert!(text.ends_with(')') && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn files_and_locks_are_told_with_the_remedy() {
        let busy = told(LockError::Busy { path: "/run/pm.lock".into(), seconds: 15 });
        let expected =
            "另一个 pm 长时间占用着锁 /run/pm.lock: 用 fuser -v /run/pm.lock 查看是谁, 等它结束后再试。";
        assert_eq!(busy, expected);
        let (path, backup) = ("/etc/c.json", "/etc/c.json.bak");
        let source = pm_core::wire::decode(b"{\n  \"ports\": 5}").unwrap_err();
        let unusable = told(StoreError::Unreadable { path: path.into(), backup: backup.into(), source });
        assert!(
            unusable.starts_with("配置文件 /etc/c.json 无法使用, 第 2 行第 12 列, 字段 ports: 「"),
            "{unusable}"
        );
        assert!(unusable.ends_with("用 cp -p /etc/c.json.bak /etc/c.json 恢复上一份。"), "{unusable}");
        let gone = told(StoreError::Gone { path: path.into(), backup: backup.into() });
        assert!(gone.contains("不见了") && gone.contains("cp -p /etc/c.json.bak /etc/c.json"), "{gone}");
        let read = told(MachineError::Read(BackendError::new(Fault::Failed, NetfilterError::Restless)));
        assert!(read.starts_with("计数器读取失败, 未作任何更改: 别的程序"), "{read}");
        assert!(told(MachineError::NoInterface("eth9".into())).starts_with("没有网卡 eth9, "));
        let unknown = MachineError::Edit(EntryError::Unknown(port("443")).into());
        assert_eq!(machine(&unknown, Language::Zh.texts()), "端口 443 已不在监控列表中。");
    }

    #[test]
    fn notes_are_told_in_the_language_of_the_menu() {
        let group = || pm_core::config::GroupId::new("{}").unwrap();
        let (from, to) = (Bytes(7), Bytes(3));
        let alarm = Alarm { port: port("443"), direction: "in", from, to };
        let both = vec![port("80"), port("443")];
        let disagreement = Warning::Disagreement { lead: port("80"), port: port("443"), group: "g".into() };
        for (known, begins) in [
            (Note::Counter(alarm), "端口 443 的入站计数器从 7 字节退回到 3 字节"),
            (
                Note::Edit(edit::Note::HoldsForGroup { group: group(), members: both.clone() }),
                "配额、计费模式和重置日现在对组 {} 的全部端口生效: 80, 443",
            ),
            (Note::Edit(edit::Note::UsageStays { group: group(), left: both }), "80, 443 在组 {} 配额中"),
            (
                Note::Interface { foreign: "eth9".into(), instead: None },
                "本机没有导出文件里的网卡 eth9, 限速放在默认路由的网卡上",
            ),
            (Note::Releases, "导出文件里的程序更新来源没有带过来"),
            (Note::File(Warning::IdlePenalty(port("443"))), "端口 443 启用了动态限速"),
            (Note::File(Warning::QuotaOfNothing(port("443"))), "端口 443 的配额是 0 GB"),
            (Note::File(Warning::ReservedClass(port("65534"))), "端口 65534 不能限速"),
            (Note::File(Warning::ThresholdOfNothing), "telegram.thresholds 里的 0"),
            (Note::File(disagreement), "组 g 中端口 80 和 443 的配额"),
        ] {
            let text = note(&known, Language::Zh.texts());
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(note(&known, Language::En.texts()), known.to_string());
        }
        let note = Outgoing { port: port("40000"), range: 32768..=60999 };
        assert!(outgoing(&note, Language::Zh.texts()).contains("(32768-60999)"));
        assert_eq!(outgoing(&note, Language::En.texts()), note.to_string());
    }
}
