//! The units by which systemd runs pm, as text.

use jiff::SignedDuration;

/// Brings the rules back before there is a network, and settles the accounts when there is none any more.
pub const BOOT: &str = "pm-boot.service";
/// The monitor: one minute that the timer starts, or a service that stays.
pub const MONITOR: &str = "pm-monitor.service";
/// Starts the monitor.
pub const TIMER: &str = "pm-monitor.timer";

/// What a service gets of the machine: the network's rules, its own folder and the locks, and nothing else.
///
/// `/proc/1/stat` has to be readable, so `ProtectProc` is not among them; messages need IPv4, IPv6 and, for names, Unix.
const CONFINEMENT: &str = "\
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=-/etc/port_monitor /run -/var/run
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_NETLINK AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

/// Firewalls that empty or load the whole ruleset when they start.
const FIREWALLS: &str = "nftables.service netfilter-persistent.service ufw.service firewalld.service";

/// The unit of boot and shutdown. It stops after the network did, so its last minute sees every byte.
pub fn boot() -> String {
    format!(
        "\
[Unit]
Description=Port traffic rules before the network, and a last minute of accounting after it
DefaultDependencies=no
RequiresMountsFor=/etc/port_monitor /usr/local/bin
After=local-fs.target systemd-sysctl.service {FIREWALLS}
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
# A fault at boot is told by the next minute; it must not cost the last one.
ExecStart=-/usr/local/bin/pm-monitor --no-tell --quiet
ExecStop=-/usr/local/bin/pm-monitor --no-tell --quiet
TimeoutStartSec=60
TimeoutStopSec=60
{CONFINEMENT}
[Install]
WantedBy=multi-user.target
"
    )
}

/// One minute, for the timer.
pub fn minute() -> String {
    format!(
        "\
[Unit]
Description=One minute of port traffic accounting
After={BOOT}

[Service]
Type=oneshot
ExecStart=/usr/local/bin/pm-monitor --quiet
TimeoutStartSec=120
# What the monitor says stays in the journal; that it ran, sixty times an hour, does not.
SyslogLevel=notice
LogLevelMax=notice
{CONFINEMENT}"
    )
}

/// The timer.
pub fn timer(every: SignedDuration) -> String {
    let when = if every == SignedDuration::from_mins(1) {
        "OnCalendar=minutely\n".to_owned()
    } else {
        format!("OnActiveSec=1s\nOnUnitActiveSec={}\n", seconds(every))
    };
    format!(
        "\
[Unit]
Description=Port traffic accounting, again and again

[Timer]
{when}AccuracySec=1s

[Install]
WantedBy=timers.target
"
    )
}

/// The monitor that stays.
pub fn service(every: SignedDuration) -> String {
    format!(
        "\
[Unit]
Description=Port traffic accounting
After={BOOT}

[Service]
ExecStart=/usr/local/bin/pm-monitor --every {} --quiet
Restart=always
RestartSec=5
TimeoutStopSec=60
{CONFINEMENT}
[Install]
WantedBy=multi-user.target
",
        seconds(every)
    )
}

/// How often the unit runs a minute, if it is one of these.
pub fn period(unit: &str) -> Option<SignedDuration> {
    unit.lines().find_map(|line| {
        if line == "OnCalendar=minutely" {
            return Some(SignedDuration::from_mins(1));
        }
        let service = line.strip_prefix("ExecStart=/usr/local/bin/pm-monitor --every ");
        let time = service.or_else(|| line.strip_prefix("OnUnitActiveSec="))?;
        time.split_whitespace().next()?.parse().ok()
    })
}

fn seconds(every: SignedDuration) -> String {
    format!("{}s", every.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_are_as_they_were_reviewed() {
        let every = SignedDuration::from_secs(60);
        insta::assert_snapshot!("boot", boot());
        insta::assert_snapshot!("minute", minute());
        insta::assert_snapshot!("timer", timer(every));
        insta::assert_snapshot!("service", service(every));
    }

    #[test]
    fn the_period_is_read_back() {
        for seconds in [1, 5, 60, 3600] {
            let every = SignedDuration::from_secs(seconds);
            assert_eq!(period(&timer(every)), Some(every));
            assert_eq!(period(&service(every)), Some(every));
        }
        assert_eq!(period(&minute()), None);
    }
}
