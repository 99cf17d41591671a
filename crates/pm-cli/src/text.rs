//! What people read, in two languages. A text that is missing in one of them does not compile.

mod doctor;
mod faults;
mod gap;
mod menu;
mod setup;
mod telegram;
mod top;
mod transfer;
mod update;

use clap::ValueEnum;

pub(crate) use doctor::DoctorTexts;
pub(crate) use faults::FaultTexts;
pub(crate) use gap::GapTexts;
pub(crate) use menu::MenuTexts;
pub(crate) use setup::SetupTexts;
pub(crate) use telegram::DeliveryTexts;
pub(crate) use top::TopTexts;
pub(crate) use transfer::TransferTexts;
pub(crate) use update::UpdateTexts;

/// A language of the panel and the prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// 简体中文
    #[default]
    #[value(alias = "zh-CN", alias = "zh_CN")]
    Zh,
    /// English
    #[value(alias = "en-US", alias = "en_US")]
    En,
}

/// The texts of one language.
pub(crate) struct Texts {
    pub(crate) title: &'static str,
    pub(crate) refreshed: &'static str,
    pub(crate) id: &'static str,
    pub(crate) port: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) speed: &'static str,
    pub(crate) remark: &'static str,
    pub(crate) both: &'static str,
    pub(crate) out_only: &'static str,
    pub(crate) blocked: &'static str,
    pub(crate) unlimited_quota: &'static str,
    pub(crate) unlimited_speed: &'static str,
    pub(crate) punished: &'static str,
    pub(crate) group: &'static str,
    pub(crate) no_ports: &'static str,
    pub(crate) monitor_ran: &'static str,
    pub(crate) monitor_never: &'static str,
    pub(crate) seconds_ago: &'static str,
    pub(crate) basics: &'static str,
    pub(crate) quota: &'static str,
    pub(crate) used: &'static str,
    pub(crate) inbound: &'static str,
    pub(crate) outbound: &'static str,
    pub(crate) base_limit: &'static str,
    pub(crate) auto_reset: &'static str,
    pub(crate) reset_monthly: &'static str,
    pub(crate) reset_by_hand: &'static str,
    pub(crate) next_reset: &'static str,
    pub(crate) dynqos: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) enabled: &'static str,
    pub(crate) disabled: &'static str,
    pub(crate) rule: [&'static str; 2],
    pub(crate) watching: [&'static str; 2],
    pub(crate) punished_until: &'static str,
    pub(crate) added: &'static str,
    pub(crate) saved: &'static str,
    pub(crate) removed: &'static str,
    pub(crate) was_reset: &'static str,
    pub(crate) ask_remove: &'static str,
    pub(crate) ask_reset: &'static str,
    pub(crate) cancelled: &'static str,
    pub(crate) billing: &'static str,
    pub(crate) rate: &'static str,
    pub(crate) measuring: &'static str,
    pub(crate) forecast: &'static str,
    pub(crate) runs_out: &'static str,
    pub(crate) lasts_until_reset: &'static str,
    pub(crate) lasts_a_year: &'static str,
    pub(crate) events: &'static str,
    pub(crate) began: &'static str,
    pub(crate) warned: &'static str,
    pub(crate) was_blocked: &'static str,
    pub(crate) was_punished: &'static str,
    pub(crate) recovered: &'static str,
    pub(crate) top: TopTexts,
    pub(crate) transfer: TransferTexts,
    pub(crate) setup: SetupTexts,
    pub(crate) doctor: DoctorTexts,
    pub(crate) update: UpdateTexts,
    pub(crate) menu: MenuTexts,
    pub(crate) telegram: DeliveryTexts,
    /// None for the words of the libraries.
    pub(crate) faults: Option<FaultTexts>,
}

/// The text with its `{}` filled in, in order.
pub(crate) fn fill(text: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut pieces = text.split("{}");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        filled += values.next().unwrap_or(&"");
        filled += piece;
    }
    filled
}

impl Language {
    /// The same language, for messages.
    pub(crate) const fn spoken(self) -> pm_core::config::Language {
        match self {
            Self::Zh => pm_core::config::Language::Zh,
            Self::En => pm_core::config::Language::En,
        }
    }

    /// Its texts.
    pub(crate) const fn texts(self) -> &'static Texts {
        match self {
            Self::Zh => &ZH,
            Self::En => &EN,
        }
    }
}

static ZH: Texts = Texts {
    title: "Linux 端口流量管理",
    refreshed: "后台每分钟刷新",
    id: "ID",
    port: "端口",
    mode: "模式",
    usage: "已用流量 / 总配额",
    speed: "出站限速",
    remark: "备注",
    both: "[双向]",
    out_only: "[仅出站]",
    blocked: "[已阻断]",
    unlimited_quota: "不限",
    unlimited_speed: "无限制",
    punished: "(惩罚中)",
    group: "组",
    no_ports: "暂无监控端口, 用 pm add 10086 --quota 10 添加",
    monitor_ran: "后台上次运行:",
    monitor_never: "后台尚未运行: 用 pm install 安排每分钟自动运行",
    seconds_ago: "秒前",
    basics: "基础信息",
    quota: "流量配额",
    used: "已用流量",
    inbound: "入站",
    outbound: "出站",
    base_limit: "基础限速",
    auto_reset: "自动重置",
    reset_monthly: "每月重置日:",
    reset_by_hand: "手动重置",
    next_reset: "下次",
    dynqos: "动态突发限制 (QoS)",
    policy: "策略状态",
    enabled: "✅ 已启用",
    disabled: "⚪ 未启用 (默认)",
    rule: ["规则详情", "> {} 持续 {}分 -> 降至 {}"],
    watching: ["当前监测", "连续超标 {} 次 / {} 次"],
    punished_until: "惩罚中, 直到",
    added: "添加成功!",
    saved: "修改成功!",
    removed: "删除完成。",
    was_reset: "统计数据已清零。",
    ask_remove: "确定删除端口 {} 监控吗? [y/N]: ",
    ask_reset: "确定清零吗? ({}) [y/N]: ",
    cancelled: "已取消。",
    billing: "计费模式",
    rate: "实时速率",
    measuring: "测量中…",
    forecast: "预计用完",
    runs_out: "{} (按本周期用量推算)",
    lasts_until_reset: "本周期内不会用完",
    lasts_a_year: "一年内不会用完",
    events: "本周期事件",
    began: "统计已清零, 新周期开始",
    warned: "用量达到 {}%",
    was_blocked: "配额用尽, 端口已阻断",
    was_punished: "触发惩罚, 限速 {}, {} 分钟",
    recovered: "惩罚结束, 恢复原速",
    top: top::ZH,
    transfer: transfer::ZH,
    setup: setup::ZH,
    doctor: doctor::ZH,
    update: update::ZH,
    menu: menu::ZH,
    telegram: telegram::ZH,
    faults: Some(faults::ZH),
};

static EN: Texts = Texts {
    title: "Linux port traffic manager",
    refreshed: "refreshed every minute",
    id: "ID",
    port: "Port",
    mode: "Mode",
    usage: "Used / quota",
    speed: "Limit out",
    remark: "Remark",
    both: "[both]",
    out_only: "[out]",
    blocked: "[blocked]",
    unlimited_quota: "unlimited",
    unlimited_speed: "none",
    punished: "(penalty)",
    group: "group",
    no_ports: "no port is metered yet: pm add 10086 --quota 10 adds one",
    monitor_ran: "the monitor last ran",
    monitor_never: "the monitor never ran: pm install has it run every minute",
    seconds_ago: "s ago",
    basics: "Basics",
    quota: "Quota",
    used: "Used",
    inbound: "in",
    outbound: "out",
    base_limit: "Limit",
    auto_reset: "Reset",
    reset_monthly: "monthly, on day",
    reset_by_hand: "by hand",
    next_reset: "next",
    dynqos: "Rate penalty (DynQoS)",
    policy: "State",
    enabled: "✅ on",
    disabled: "⚪ off (default)",
    rule: ["Rule", "> {} for {} min -> down to {}"],
    watching: ["Now", "{} of {} strikes in a row"],
    punished_until: "punished until",
    added: "added",
    saved: "saved",
    removed: "removed",
    was_reset: "usage is zero again",
    ask_remove: "Stop metering port {}? [y/N]: ",
    ask_reset: "Set usage to zero ({})? [y/N]: ",
    cancelled: "cancelled",
    billing: "Counts",
    rate: "Rate now",
    measuring: "measuring…",
    forecast: "Forecast",
    runs_out: "used up on {}, if this cycle goes on so",
    lasts_until_reset: "lasts until the reset",
    lasts_a_year: "lasts for more than a year",
    events: "This cycle",
    began: "began with no usage",
    warned: "{}% of the quota used",
    was_blocked: "quota used up, port blocked",
    was_punished: "slowed down to {} for {} minutes",
    recovered: "back at the original speed",
    top: top::EN,
    transfer: transfer::EN,
    setup: setup::EN,
    doctor: doctor::EN,
    update: update::EN,
    menu: menu::EN,
    telegram: telegram::EN,
    faults: None,
};
