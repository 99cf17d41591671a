//! The messages as people read them, in two languages. A template that is missing in one of them does not compile.
//!
//! They are written as section 7.3 of the specification writes them, `*bold*` and `` `code` ``.

use pm_core::config::Language;

/// The templates of one language.
#[derive(Debug)]
pub(crate) struct Templates {
    pub(crate) warning: &'static str,
    pub(crate) blocked: &'static str,
    pub(crate) punished: &'static str,
    pub(crate) recovered: &'static str,
    pub(crate) reset: &'static str,
    pub(crate) report: &'static str,
    pub(crate) report_entry: &'static str,
    pub(crate) report_empty: &'static str,
    pub(crate) test: &'static str,
    pub(crate) digest: &'static str,
    pub(crate) digest_warning: &'static str,
    pub(crate) digest_blocked: &'static str,
    pub(crate) digest_punished: &'static str,
    pub(crate) digest_recovered: &'static str,
    pub(crate) digest_reset: &'static str,
    pub(crate) digest_other: &'static str,
    pub(crate) group: &'static str,
    pub(crate) more_ports: &'static str,
    pub(crate) both: &'static str,
    pub(crate) out_only: &'static str,
    pub(crate) monthly: &'static str,
    pub(crate) by_hand: &'static str,
    pub(crate) unlimited: &'static str,
}

impl Templates {
    /// Those of a language.
    pub(crate) const fn of(language: Language) -> &'static Self {
        match language {
            Language::Zh => &ZH,
            Language::En => &EN,
        }
    }
}

static ZH: Templates = Templates {
    warning: "{icon} *端口流量预警*\n🏷 标识: *{label}*\n🔌 端口: `{ports}`{group}\n📊 已用: {used} / {limit} (*{percent}*)\n📋 模式: {mode}\n⏰ 状态: 已超过 *{level}%* 阈值",
    blocked: "🚫 *端口已封禁*\n🏷 标识: *{label}*\n🔌 端口: `{ports}`{group}\n📊 流量配额已耗尽，端口已被封禁\n🔄 重置策略: {policy}",
    punished: "⚡ *动态限速触发*\n🏷 标识: *{label}*\n🔌 端口: `{ports}`{group}\n📈 平均速率: {rate} (阈值 {trigger})\n📉 已降速至: *{penalty}*\n⏱ 持续时间: {minutes} 分钟",
    recovered: "✅ *限速已恢复*\n🏷 标识: *{label}*\n🔌 端口: `{ports}`{group}\n📈 惩罚期结束，已恢复原始速率",
    reset: "🔄 *配额已自动重置*\n🏷 标识: *{label}*\n🔌 端口: `{ports}`{group}\n📊 新配额: {limit}\n⏰ 新周期已开始",
    report: "📋 *定时流量报告*\n🖥 主机: `{host}`\n⏰ {time}",
    report_entry: "{icon} `{ports}`{comment}\n   {usage}{speed}",
    report_empty: "暂无监控端口",
    test: "🔔 *测试通知*\n🖥 主机: {host}\n✅ Telegram 通知功能正常!",
    digest: "📋 *{count} 条通知*\n🖥 主机: `{host}`\n⏰ {time}",
    digest_warning: "{icon} `{ports}`{comment}: {used} / {limit} ({percent})",
    digest_blocked: "🚫 `{ports}`{comment}: 端口已封禁",
    digest_punished: "⚡ `{ports}`{comment}: {rate} -> {penalty}, {minutes} 分钟",
    digest_recovered: "✅ `{ports}`{comment}: 限速已恢复",
    digest_reset: "🔄 `{ports}`{comment}: 配额已自动重置 ({limit})",
    digest_other: "🔔 测试通知",
    group: "\n👥 组: {}",
    more_ports: " 等 {} 个",
    both: "双向",
    out_only: "仅出站",
    monthly: "每月 {} 日自动重置",
    by_hand: "手动重置",
    unlimited: "不限",
};

static EN: Templates = Templates {
    warning: "{icon} *Port traffic warning*\n🏷 Node: *{label}*\n🔌 Port: `{ports}`{group}\n📊 Used: {used} / {limit} (*{percent}*)\n📋 Mode: {mode}\n⏰ State: past *{level}%*",
    blocked: "🚫 *Port blocked*\n🏷 Node: *{label}*\n🔌 Port: `{ports}`{group}\n📊 The quota is used up, the port is blocked\n🔄 Reset: {policy}",
    punished: "⚡ *Rate penalty*\n🏷 Node: *{label}*\n🔌 Port: `{ports}`{group}\n📈 Average rate: {rate} (trigger {trigger})\n📉 Slowed down to: *{penalty}*\n⏱ For: {minutes} minutes",
    recovered: "✅ *Speed restored*\n🏷 Node: *{label}*\n🔌 Port: `{ports}`{group}\n📈 The penalty is over, the original speed is back",
    reset: "🔄 *Quota reset*\n🏷 Node: *{label}*\n🔌 Port: `{ports}`{group}\n📊 New quota: {limit}\n⏰ A new cycle has begun",
    report: "📋 *Traffic report*\n🖥 Host: `{host}`\n⏰ {time}",
    report_entry: "{icon} `{ports}`{comment}\n   {usage}{speed}",
    report_empty: "no port is metered",
    test: "🔔 *Test message*\n🖥 Host: {host}\n✅ Telegram notifications work!",
    digest: "📋 *{count} notifications*\n🖥 Host: `{host}`\n⏰ {time}",
    digest_warning: "{icon} `{ports}`{comment}: {used} / {limit} ({percent})",
    digest_blocked: "🚫 `{ports}`{comment}: blocked",
    digest_punished: "⚡ `{ports}`{comment}: {rate} -> {penalty}, {minutes} minutes",
    digest_recovered: "✅ `{ports}`{comment}: speed restored",
    digest_reset: "🔄 `{ports}`{comment}: quota reset ({limit})",
    digest_other: "🔔 test message",
    group: "\n👥 Group: {}",
    more_ports: " and more, {} in all",
    both: "both directions",
    out_only: "outbound only",
    monthly: "every month on day {}",
    by_hand: "by hand",
    unlimited: "unlimited",
};
