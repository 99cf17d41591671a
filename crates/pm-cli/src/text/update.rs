//! The texts of `pm update` and of item 5.

/// The texts of one language.
pub(crate) struct UpdateTexts {
    /// The key of the notes of a release in this language.
    pub(crate) language: &'static str,
    pub(crate) present: &'static str,
    pub(crate) asking: &'static str,
    pub(crate) newest: &'static str,
    pub(crate) newer: &'static str,
    pub(crate) ask: &'static str,
    pub(crate) downloading: &'static str,
    pub(crate) done: &'static str,
    pub(crate) ask_back: &'static str,
    pub(crate) back: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) reloading: &'static str,
    pub(crate) not_restarted: &'static str,
}

pub(super) const ZH: UpdateTexts = UpdateTexts {
    language: "zh",
    present: "当前版本: v{}",
    asking: "正在从 {} 检查更新...",
    newest: "已是最新版本",
    newer: "发现新版本: v{}",
    ask: "现在更新吗? [y/N]: ",
    downloading: "下载 {}: {}%",
    done: "已更新到 v{} (旧程序保留为 pm.old, 可用 pm update --rollback 恢复)",
    ask_back: "恢复到上一个版本吗? [y/N]: ",
    back: "已恢复到 v{}",
    failed: "更新失败, 一切保持原样: {}",
    reloading: "正在重新载入...",
    not_restarted: "程序已更换, 但后台服务未能重启, 请执行 systemctl restart pm-monitor.service: {}",
};

pub(super) const EN: UpdateTexts = UpdateTexts {
    language: "en",
    present: "Version: {}",
    asking: "asking {} for a newer release ..",
    newest: "this is the newest version",
    newer: "A newer version: {}",
    ask: "Update now? [y/N]: ",
    downloading: "downloading {}: {} %",
    done: "updated to {} (the program before is kept as pm.old; pm update --rollback goes back to it)",
    ask_back: "Go back to the version before? [y/N]: ",
    back: "went back to {}",
    failed: "not updated, and nothing was changed: {}",
    reloading: "starting anew ..",
    not_restarted: "the programs were replaced, but the service that runs is still the one before: systemctl restart pm-monitor.service ({})",
};
