//! The texts of `pm install`.

/// The texts of one language.
pub(crate) struct SetupTexts {
    pub(crate) packages: &'static str,
    pub(crate) ask_packages: &'static str,
    pub(crate) installing: &'static str,
    pub(crate) missing: &'static str,
    pub(crate) program: &'static str,
    pub(crate) folder: &'static str,
    pub(crate) configuration: &'static str,
    pub(crate) timer: &'static str,
    pub(crate) service: &'static str,
    pub(crate) cron: &'static str,
    pub(crate) in_force: &'static str,
    pub(crate) no_cron: &'static str,
    pub(crate) nothing_to_do: &'static str,
    pub(crate) installed: &'static str,
}

pub(super) const ZH: SetupTexts = SetupTexts {
    packages: "缺少以下软件包: {}",
    ask_packages: "将执行 {} , 继续吗? [y/N]: ",
    installing: "正在安装软件包: {}",
    missing: "缺少以下软件包 (指定了 --root, 不会自动安装): {}",
    program: "已安装 {}",
    folder: "已设为仅 root 可见: {}",
    configuration: "已创建配置 {}",
    timer: "由 systemd 定时运行, 间隔 {}; 开机时恢复规则, 关机时结算流量",
    service: "作为 systemd 服务运行, 间隔 {}; 开机时恢复规则, 关机时结算流量",
    cron: "由 cron 每分钟运行 (crontab -l 可查看)",
    in_force: "规则已生效",
    no_cron: "注意: cron 没有在运行, 流量不会结算: 请执行 {}",
    nothing_to_do: "一切就绪, 没有需要改动的地方。",
    installed: "安装完成! 输入 pm 打开菜单。",
};

pub(super) const EN: SetupTexts = SetupTexts {
    packages: "these packages are missing: {}",
    ask_packages: "This would run {} . Go ahead? [y/N]: ",
    installing: "installing packages: {}",
    missing: "these packages are missing, and with --root none is installed: {}",
    program: "installed {}",
    folder: "closed to all but root: {}",
    configuration: "made the configuration {}",
    timer: "a timer of systemd runs pm every {}; rules come back at boot, traffic is settled at shutdown",
    service: "a service of systemd runs pm every {}; rules come back at boot, traffic is settled at shutdown",
    cron: "cron runs pm every minute (crontab -l shows it)",
    in_force: "the rules are in force",
    no_cron: "note: no cron runs here, so traffic would never be settled: start it with {}",
    nothing_to_do: "everything is in place; nothing was changed",
    installed: "installed: type pm for the menu",
};
