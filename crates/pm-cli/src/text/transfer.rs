//! The texts of `pm export` and `pm import`.

/// The texts of one language.
pub(crate) struct TransferTexts {
    pub(crate) exported: &'static str,
    pub(crate) secrets: &'static str,
    pub(crate) added: &'static str,
    pub(crate) changed: &'static str,
    pub(crate) removed: &'static str,
    pub(crate) notifications: &'static str,
    pub(crate) unchanged: &'static str,
    pub(crate) nothing_changes: &'static str,
    pub(crate) ask: &'static str,
    pub(crate) imported: &'static str,
    pub(crate) backup: &'static str,
}

pub(super) const ZH: TransferTexts = TransferTexts {
    exported: "已导出到 {}",
    secrets: "导出内容包含 Telegram Token 等机密: 请妥善保管, 用后删除",
    added: "新增",
    changed: "修改",
    removed: "删除",
    notifications: "通知设置 (Telegram 等) 将被替换",
    unchanged: "不变: {} 个端口",
    nothing_changes: "端口与通知设置都不会改变。",
    ask: "确定导入吗? 现有配置与用量将被替换 [y/N]: ",
    imported: "导入成功!",
    backup: "原配置保存在 {}",
};

pub(super) const EN: TransferTexts = TransferTexts {
    exported: "exported to {}",
    secrets: "the export holds secrets such as the Telegram token: keep it to yourself, and remove it when it has served",
    added: "add",
    changed: "change",
    removed: "remove",
    notifications: "the notifications (Telegram and others) would be replaced",
    unchanged: "unchanged: {} ports",
    nothing_changes: "neither ports nor notifications would change",
    ask: "Import this, in place of the present configuration and usage? [y/N]: ",
    imported: "imported",
    backup: "the configuration from before is in {}",
};
