//! The texts of `pm doctor`: for each thing that can be found, a sentence and, where there is one, its remedy.

use pm_setup::doctor::{Case, Check};

/// The texts of one language.
pub(crate) struct DoctorTexts {
    pub(crate) title: &'static str,
    pub(crate) fix: &'static str,
    pub(crate) all_good: &'static str,
    pub(crate) found: &'static str,
    pub(crate) repairing: &'static str,
    pub(crate) repaired: &'static str,
    pub(crate) check: fn(Check) -> &'static str,
    /// The sentence and the remedy; an empty one where there is nothing to do.
    pub(crate) case: fn(Case) -> [&'static str; 2],
}

pub(super) const ZH: DoctorTexts = DoctorTexts {
    title: "pm 自检",
    fix: "处理:",
    all_good: "一切正常。",
    found: "{} 项有问题, {} 项需要留意。",
    repairing: "正在修复...",
    repaired: "修复已执行, 重新检查:",
    check: check_zh,
    case: case_zh,
};

pub(super) const EN: DoctorTexts = DoctorTexts {
    title: "pm doctor",
    fix: "fix:",
    all_good: "all is well",
    found: "{} broken, {} to be looked at",
    repairing: "repairing ...",
    repaired: "repaired what can be; looking again:",
    check: check_en,
    case: case_en,
};

const fn check_zh(check: Check) -> &'static str {
    match check {
        Check::Rights => "权限",
        Check::Programs => "程序",
        Check::Nft => "nft",
        Check::Kernel => "内核",
        Check::Configuration => "配置",
        Check::Rules => "规则",
        Check::Limits => "限速",
        Check::Interface => "网卡",
        Check::Schedule => "定时",
        Check::LastRun => "后台",
        Check::Locks => "锁",
        Check::Clock => "时钟",
        Check::Disk => "磁盘",
        Check::Messages => "通知",
        Check::Neighbours => "其他防火墙",
        Check::Offload => "流量卸载",
        Check::Outgoing => "出站端口",
    }
}

const fn check_en(check: Check) -> &'static str {
    match check {
        Check::Rights => "rights",
        Check::Programs => "programs",
        Check::Nft => "nft",
        Check::Kernel => "kernel",
        Check::Configuration => "config",
        Check::Rules => "rules",
        Check::Limits => "limits",
        Check::Interface => "interface",
        Check::Schedule => "schedule",
        Check::LastRun => "monitor",
        Check::Locks => "locks",
        Check::Clock => "clock",
        Check::Disk => "disk",
        Check::Messages => "messages",
        Check::Neighbours => "neighbours",
        Check::Offload => "offload",
        Check::Outgoing => "outgoing",
    }
}

const fn case_zh(case: Case) -> [&'static str; 2] {
    match case {
        Case::MayChange => ["可以修改网络规则", ""],
        Case::MayNotChange => ["不能修改网络规则", "用 root 运行; 容器需要 CAP_NET_ADMIN"],
        Case::ProgramsHere => ["pm 和 pm-monitor 已安装", ""],
        Case::ProgramsMissing => ["缺少 {}", "在新程序所在的目录运行 ./pm install"],
        Case::ToolGood => ["版本 {}", ""],
        Case::ToolOld => ["版本 {} 过旧, 只测试过 {} 及以上", "升级系统软件包"],
        Case::ToolUnknown => ["无法得知版本 ({}), 需要 {} 及以上", "手动运行它看看"],
        Case::NftMissing => ["没有 nft, 无法统计和封禁", "pm install 会安装它, 或执行 apt install nftables"],
        Case::KernelGood => ["{}", ""],
        Case::KernelOld => ["{} 过旧, 需要 {} 及以上", "升级内核"],
        Case::KernelLacks => ["{} 缺少模块 {}: 相应的统计或限速可能不可用", "安装发行版的标准内核"],
        Case::KernelInContainer => [
            "{}, 在 {} 容器中, 而规则没有生效: 宿主机可能不允许",
            "请宿主机允许 nftables 和 CAP_NET_ADMIN, 或换用 KVM",
        ],
        Case::ConfigurationGood => ["可读, {} 个端口", ""],
        Case::ConfigurationNone => ["还没有配置", "用 pm install 创建, 用 pm add 添加端口"],
        Case::ConfigurationUnusable => ["不可用: {}", "按上面的说明处理"],
        Case::ConfigurationOpen => ["其他用户可以读取或修改 (内含 Token)", "pm doctor --fix"],
        Case::ConfigurationDoubtful => ["可读, 但请留意: {}", "用 pm set 或菜单 2 修改"],
        Case::InForce => ["与配置一致", ""],
        Case::NotInForce => ["与配置不一致", "pm doctor --fix; 下一分钟也会自动修复"],
        Case::NotNeeded => ["没有设置", ""],
        Case::Waiting => ["没有默认路由, 限速等待中", "恢复默认路由, 或 pm set --interface 网卡名"],
        Case::CannotTell => ["无法得知: {}", "按上面的说明处理"],
        Case::InterfaceHere => ["限速作用于 {}", ""],
        Case::InterfaceGone => ["配置的网卡 {} 不存在", "pm set --interface auto 跟随默认路由"],
        Case::InterfaceNone => ["没有默认路由, 也没有指定网卡", "限速需要: pm set --interface 网卡名"],
        Case::Timer => ["systemd 定时器, 间隔 {}", ""],
        Case::Service => ["systemd 服务, 间隔 {}", ""],
        Case::Cron => ["cron, 每分钟", ""],
        Case::CronStopped => ["由 cron 运行, 但 cron 没有在运行", "{}"],
        Case::UnitStopped => ["{} 没有在运行", "pm doctor --fix, 或 systemctl start {}"],
        Case::CronWithoutScript => [
            "cron, 每分钟, 但关机时没有结算: 正常重启会丢失最后一分钟的统计",
            "pm doctor --fix, 或 pm install",
        ],
        Case::Unscheduled => ["没有定时运行: 流量不会结算, 不会重置和通知", "pm doctor --fix, 或 pm install"],
        Case::Ran => ["上次运行: {} 前", ""],
        Case::RanLongAgo => {
            ["上次运行: {} 前", "pm --monitor 手动运行一次看看报错; journalctl -u pm-monitor 查看记录"]
        }
        Case::NeverRan => ["尚未运行过", "pm doctor --fix, 或 pm --monitor"],
        Case::LocksFree => ["没有被占用", ""],
        Case::LockHeld => ["{} 被进程 {} 长时间占用", "查看该进程在做什么, 必要时结束它"],
        Case::ClockGood => ["{} {}", ""],
        Case::ClockWrong => ["{} 不可能是现在: 每月重置会出错", "校准时间, 例如 timedatectl set-ntp true"],
        Case::ClockBack => ["{}, 但后台已在 {} 运行过: 时钟被调回了", "校准时间; 到那时之前不会重置"],
        Case::DiskGood => ["剩余 {}", ""],
        Case::DiskFull => ["只剩 {}", "清理空间: 用量无法保存时, 每分钟都会失败"],
        Case::NoMessages => ["没有待发送的通知", ""],
        Case::MessagesWait => ["{} 条待发送", ""],
        Case::MessagesFail => {
            ["{} 条待发送; {} 上次失败: {}", "pm telegram test 测试; 检查网络、代理和 Token"]
        }
        Case::NoNeighbours => ["没有发现", ""],
        Case::NeighboursFine => ["{}: 互不影响", ""],
        Case::NeighboursUnmetered => {
            ["{}: 本机转发流量, 但配置里 forward 为 off, 不统计", "把 config.json 的 forward 改为 auto"]
        }
        Case::NoOffload => ["没有 flowtable", ""],
        Case::Offload => ["flowtable {}: 经过它的转发流量不会被统计", "如需统计转发的端口, 请关闭它"],
        Case::NoOutgoing => ["监控端口不在本机的出站端口范围内", ""],
        Case::Outgoing => [
            "端口 {} 在本机的出站端口范围内, 会计入本机自己的连接",
            "sysctl -w net.ipv4.ip_local_reserved_ports={}",
        ],
    }
}

#[expect(clippy::too_many_lines, reason = "a catalogue: one entry for each case")]
const fn case_en(case: Case) -> [&'static str; 2] {
    match case {
        Case::MayChange => ["this may change the network's rules", ""],
        Case::MayNotChange => {
            ["this may not change the network's rules", "run it as root; a container needs CAP_NET_ADMIN"]
        }
        Case::ProgramsHere => ["pm and pm-monitor are installed", ""],
        Case::ProgramsMissing => {
            ["missing: {}", "run ./pm install in the folder that holds the new programs"]
        }
        Case::ToolGood => ["version {}", ""],
        Case::ToolOld => {
            ["version {} is old; {} is the oldest that pm is tried with", "upgrade the system's packages"]
        }
        Case::ToolUnknown => {
            ["its version cannot be told ({}); {} or newer is needed", "run it by hand and see"]
        }
        Case::NftMissing => [
            "there is no nft, so nothing is metered or closed",
            "pm install installs it, or apt install nftables",
        ],
        Case::KernelGood => ["{}", ""],
        Case::KernelOld => ["{} is too old; {} or newer is needed", "upgrade the kernel"],
        Case::KernelLacks => {
            ["{} lacks {}: what needs them may not work", "install your distribution's standard kernel"]
        }
        Case::KernelInContainer => [
            "{}, in a container ({}), and the rules are not in force: the host may not allow them",
            "have the host allow nftables and CAP_NET_ADMIN, or use a virtual machine",
        ],
        Case::ConfigurationGood => ["readable, {} ports", ""],
        Case::ConfigurationNone => ["there is none yet", "pm install makes one, pm add adds a port"],
        Case::ConfigurationUnusable => ["it cannot be used: {}", "do as that says"],
        Case::ConfigurationOpen => ["others can read or change it, with the token in it", "pm doctor --fix"],
        Case::ConfigurationDoubtful => ["readable, but: {}", "change it with pm set or item 2 of the menu"],
        Case::InForce => ["as configured", ""],
        Case::NotInForce => ["not as configured", "pm doctor --fix; the next minute repairs it, too"],
        Case::NotNeeded => ["none configured", ""],
        Case::Waiting => ["they wait for a default route", "restore the route, or pm set --interface NAME"],
        Case::CannotTell => ["it cannot be told: {}", "do as that says"],
        Case::InterfaceHere => ["limits are held on {}", ""],
        Case::InterfaceGone => [
            "the configured interface {} does not exist",
            "pm set --interface auto follows the default route",
        ],
        Case::InterfaceNone => [
            "there is no default route, and no interface is configured",
            "limits need one: pm set --interface NAME",
        ],
        Case::Timer => ["a timer of systemd, every {}", ""],
        Case::Service => ["a service of systemd, every {}", ""],
        Case::Cron => ["cron, every minute", ""],
        Case::CronStopped => ["cron should run pm, but cron itself does not run", "{}"],
        Case::UnitStopped => ["{} does not run", "pm doctor --fix, or systemctl start {}"],
        Case::CronWithoutScript => [
            "cron, every minute, but nothing settles at shutdown: a planned restart loses the last minute",
            "pm doctor --fix, or pm install",
        ],
        Case::Unscheduled => [
            "nothing runs the monitor: no accounts, no resets, no messages",
            "pm doctor --fix, or pm install",
        ],
        Case::Ran => ["last ran {} ago", ""],
        Case::RanLongAgo => [
            "last ran {} ago",
            "pm --monitor runs it by hand and says what is wrong; journalctl -u pm-monitor has the past",
        ],
        Case::NeverRan => ["it never ran", "pm doctor --fix, or pm --monitor"],
        Case::LocksFree => ["free", ""],
        Case::LockHeld => {
            ["{} is held by process {} all the time", "see what that process does, and end it if need be"]
        }
        Case::ClockGood => ["{} {}", ""],
        Case::ClockWrong => [
            "{} cannot be now: monthly resets would go wrong",
            "set the clock, for example timedatectl set-ntp true",
        ],
        Case::ClockBack => [
            "{}, but the monitor ran at {}: the clock was set back",
            "set the clock; nothing is reset before then",
        ],
        Case::DiskGood => ["{} free", ""],
        Case::DiskFull => ["only {} free", "make room: where usage cannot be saved, every minute fails"],
        Case::NoMessages => ["none waits", ""],
        Case::MessagesWait => ["{} wait", ""],
        Case::MessagesFail => {
            ["{} wait; {} failed last: {}", "pm telegram test tries it; look at network, proxy and token"]
        }
        Case::NoNeighbours => ["none found", ""],
        Case::NeighboursFine => ["{}: neither disturbs the other", ""],
        Case::NeighboursUnmetered => [
            "{}: this machine forwards, but forward is off in config.json, so that is not metered",
            "set forward to auto in config.json",
        ],
        Case::NoOffload => ["no flowtable", ""],
        Case::Offload => [
            "flowtable {}: what is forwarded through it passes unseen",
            "switch it off if forwarded ports are to be metered",
        ],
        Case::NoOutgoing => ["no metered port is in the machine's range of outgoing ports", ""],
        Case::Outgoing => [
            "port {} lies in the machine's range of outgoing ports, so its own connections count too",
            "sysctl -w net.ipv4.ip_local_reserved_ports={}",
        ],
    }
}
