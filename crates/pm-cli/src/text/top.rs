//! The texts of `pm top`.

/// The texts of one language.
pub(crate) struct TopTexts {
    pub(crate) no_terminal: &'static str,
    /// How many ports there are.
    pub(crate) ports: &'static str,
    /// How many of them pass the filter.
    pub(crate) passing: &'static str,
    /// By port, rate, usage, share of the quota.
    pub(crate) sorted: [&'static str; 4],
    pub(crate) minutes: &'static str,
    pub(crate) share: &'static str,
    pub(crate) peak: &'static str,
    pub(crate) filter: &'static str,
    pub(crate) filter_keys: &'static str,
    pub(crate) table_keys: &'static str,
    pub(crate) page_keys: &'static str,
    pub(crate) none_passes: &'static str,
}

pub(super) const ZH: TopTexts = TopTexts {
    no_terminal: "pm top 需要终端: 脚本请用 pm list --json",
    ports: "{} 个端口",
    passing: "{}/{} 个端口",
    sorted: ["按端口", "按速率", "按用量", "按占比"],
    minutes: "近几分钟",
    share: "占比",
    peak: "峰值",
    filter: "筛选: ",
    filter_keys: "Enter 确定  Esc 清除",
    table_keys: "q 退出  / 筛选  Enter 详情  排序: p 端口 r 速率 u 用量 % 占比  ↑↓ 选择",
    page_keys: "q 退出  Esc 返回  ↑↓ 换端口",
    none_passes: "没有匹配的端口",
};

pub(super) const EN: TopTexts = TopTexts {
    no_terminal: "pm top needs a terminal: pm list --json is for scripts",
    ports: "{} ports",
    passing: "{} of {} ports",
    sorted: ["by port", "by rate", "by usage", "by share"],
    minutes: "minutes",
    share: "share",
    peak: "peak",
    filter: "filter: ",
    filter_keys: "Enter keeps it  Esc clears it",
    table_keys: "q quit  / filter  Enter page  sort by: p port r rate u usage % share  ↑↓ choose",
    page_keys: "q quit  Esc back  ↑↓ other port",
    none_passes: "no port matches",
};
