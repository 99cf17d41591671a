//! What is interrupted: a minute that has something to do, one that has not, each edit, and every way to other programs.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use pm_tests::bot::Bot;
use pm_tests::machine::{Machine, binary};
use serde_json::{Value, json};

use super::programs;
use super::site::Site;

/// When the machine is set up, when the injured run is, and when the next minute.
pub(super) const SET_UP: &str = "2026-03-10T12:00:00Z";
pub(super) const INJURED: &str = "2026-03-10T12:01:00Z";
pub(super) const NEXT: &str = "2026-03-10T12:02:00Z";

/// What a port may have been billed in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Billed {
    /// All that was seen.
    All,
    /// All, or what came after the run: a reset is done, or is not.
    AllOrSince,
    /// What came after the run, or after the next minute.
    Since,
    /// What came after the next minute, or from the end of the run on: it was added, or will be.
    Late,
}

/// Something that is interrupted.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    program: &'static str,
    words: &'static str,
    /// Changes to config.json before the machine is set up.
    configure: fn(&mut Value),
    /// What happens after the first traffic and before the run.
    prepare: fn(&Site, &Machine<'_>) -> Result<()>,
    /// What a port may be billed that is not billed all.
    pub(super) billed: &'static [(u16, Billed)],
    /// Whether traffic goes on meanwhile: not where the rules are gone for a moment, since nobody meters it then.
    pub(super) flooded: bool,
    /// What fails all the time, in strace's words.
    pub(super) always: &'static str,
    /// What must hold right after the run, and be brought about by repeating it.
    pub(super) afterwards: fn(&Machine<'_>) -> Result<()>,
    /// When the injured run is, and the next minute.
    pub(super) times: (&'static str, &'static str),
}

const PLAIN: Scenario = Scenario {
    name: "",
    program: "pm",
    words: "",
    configure: |_| {},
    prepare: |_, _| Ok(()),
    billed: &[],
    flooded: true,
    always: "",
    afterwards: |_| Ok(()),
    times: (INJURED, NEXT),
};

impl Scenario {
    /// The program, and its words. `{root}` stands for the folder of the machine.
    pub(super) fn command(&self, machine: &Machine<'_>) -> (PathBuf, Vec<String>) {
        let root = machine.root().display().to_string();
        let words = self.words.split_whitespace().map(|word| word.replace("{root}", &root)).collect();
        (binary(self.program), words)
    }

    /// Whether the monitor is interrupted, and nobody's edit.
    pub(super) fn is_a_minute(&self) -> bool {
        self.program == "pm-monitor"
    }

    /// A machine with this scenario's configuration, in force.
    pub(super) fn set_up<'a>(&self, site: &'a Site) -> Result<Machine<'a>> {
        let machine = site.machine();
        let mut config = config();
        (self.configure)(&mut config);
        machine.write_config(&config.to_string());
        fs::write(machine.root().join("token"), Bot::TOKEN)?;
        let mut command = machine.command("pm-monitor", Some(SET_UP), &["--no-tell"]);
        command.env("PM_LANG", "en");
        pm_tests::process::run(command, std::time::Duration::from_secs(30)).success();
        Ok(machine)
    }

    /// What comes before the run: traffic that there is something to do about, and more.
    pub(super) fn prepare(&self, site: &Site, machine: &Machine<'_>) -> Result<()> {
        site.send(150);
        (self.prepare)(site, machine)
    }

    /// What this port may be billed.
    pub(super) fn billed(&self, port: u16) -> Billed {
        let listed = self.billed.iter().find(|(listed, _)| *listed == port);
        listed.map_or(Billed::All, |(_, billed)| *billed)
    }
}

/// A port that is metered, one that a few datagrams use up, and one that is limited and that they bring a penalty.
fn config() -> Value {
    let penalty = json!({
        "enable": true, "trigger_mbps": 0.008, "trigger_time": 1, "punish_mbps": 5, "punish_time": 10
    });
    json!({
        "config_version": "4.3",
        "ports": {
            "10086": { "quota_gb": 1, "quota_mode": "both", "comment": "before" },
            "10087": { "quota_gb": 0.0001, "quota_mode": "both", "reset_day": 1 },
            "10088": { "quota_gb": 10, "quota_mode": "both", "limit_mbps": 50, "dyn_limit": penalty },
        },
        "telegram": Bot::block(),
    })
}

/// A configuration on which the traffic here has no consequences.
fn calm(config: &mut Value) {
    config["ports"]["10087"]["quota_gb"] = json!(1);
    config["ports"]["10088"]["dyn_limit"] = json!({ "enable": false });
}

fn with_messages(config: &mut Value) {
    calm(config);
    let message = |id: u64| {
        let event = json!({ "type": "recovered", "subject": { "ports": [(20_000 + id).to_string()], "comment": "" } });
        json!({ "id": id, "at": "2026-03-10T11:59:00Z", "event": event })
    };
    config["outbox"] = (0..3).map(message).collect();
}

/// Everything of one machine, with another comment, as it will be imported into the same one.
fn export(_: &Site, machine: &Machine<'_>) -> Result<()> {
    let text = machine.pm("export").stdout.replace("\"before\"", "\"imported\"");
    Ok(fs::write(machine.root().join("export.json"), text)?)
}

fn rival(_: &Site, machine: &Machine<'_>) -> Result<()> {
    let ports = json!({ "ports": [{
        "port": 10_089, "description": "theirs", "traffic_limit": 7, "traffic_tolerance": 0, "traffic_mode": "total",
        "traffic_period": "monthly", "period_start_day": 1, "limit_speed": 0, "main_interface": "eth0",
        "limit_mode": "tc", "created_at": "2026-01-18 12:00:00", "last_reset": "2026-01-18"
    }] });
    Ok(fs::write(machine.root().join("export.json"), ports.to_string())?)
}

const ROLLBACK: Scenario = Scenario {
    words: "update --rollback --yes",
    configure: calm,
    prepare: |site, machine| {
        programs::published(site, machine)?;
        machine.pm("update --yes");
        Ok(())
    },
    afterwards: programs::rollback_is_finished,
    ..PLAIN
};

/// Every scenario.
pub(super) const ALL: &[Scenario] = &[
    Scenario { name: "minute that blocks, punishes, tells", program: "pm-monitor", ..PLAIN },
    Scenario { name: "quiet minute", program: "pm-monitor", configure: calm, ..PLAIN },
    Scenario {
        name: "minute that tells what waits",
        program: "pm-monitor",
        configure: with_messages,
        ..PLAIN
    },
    Scenario {
        name: "minute by nft",
        program: "pm-monitor",
        // Those by which the counters are read and the rules written; the classes have no other way.
        always: "socket:error=EPROTONOSUPPORT:when=1..2",
        ..PLAIN
    },
    Scenario {
        name: "minute that resets",
        program: "pm-monitor",
        // Used up, and told; the reset opens it again.
        prepare: |_, machine| {
            machine.minute_at(INJURED);
            Ok(())
        },
        billed: &[(10_087, Billed::Since)],
        times: ("2026-04-01T00:00:00Z", "2026-04-01T00:01:00Z"),
        ..PLAIN
    },
    Scenario {
        name: "minute after the rules were flushed",
        program: "pm-monitor",
        prepare: |site, machine| {
            machine.minute_at(SET_UP);
            site.host().nft("delete table inet port_monitor");
            site.host().run(&["tc", "qdisc", "del", "dev", "eth0", "root"]);
            Ok(())
        },
        flooded: false,
        ..PLAIN
    },
    Scenario {
        name: "pm add",
        words: "add 10089 --quota 2 --limit 20 --comment new",
        configure: calm,
        billed: &[(10_089, Billed::Late)],
        ..PLAIN
    },
    Scenario { name: "pm set --quota", words: "set 10087 --quota 3", ..PLAIN },
    Scenario { name: "pm set --limit", words: "set 10086 --limit 30", configure: calm, ..PLAIN },
    Scenario { name: "pm set --mode", words: "set 10087 --mode out_only", ..PLAIN },
    Scenario {
        name: "pm set --group",
        words: "set 10086 --group team",
        configure: |config| {
            calm(config);
            config["ports"]["10088"]["group_id"] = json!("team");
        },
        ..PLAIN
    },
    Scenario { name: "pm rm", words: "rm 10088 --yes", ..PLAIN },
    Scenario {
        name: "pm reset",
        words: "reset 10087 --yes",
        billed: &[(10_087, Billed::AllOrSince)],
        ..PLAIN
    },
    Scenario {
        name: "pm dynqos on",
        words: "dynqos 10086 on --trigger 800 --minutes 3 --penalty 10 --duration 5",
        configure: calm,
        ..PLAIN
    },
    Scenario { name: "pm dynqos off", words: "dynqos 10088 off", ..PLAIN },
    Scenario {
        name: "pm telegram set",
        words: "telegram set --token-file {root}/token --chat -1009876543210",
        configure: calm,
        ..PLAIN
    },
    Scenario { name: "pm telegram thresholds", words: "telegram thresholds 60,90", configure: calm, ..PLAIN },
    Scenario {
        name: "pm import",
        words: "import {root}/export.json --yes",
        configure: calm,
        prepare: export,
        flooded: false,
        ..PLAIN
    },
    Scenario {
        name: "pm import --from",
        words: "import --from trafficcop {root}/export.json --yes",
        configure: calm,
        prepare: rival,
        billed: &[(10_089, Billed::Late)],
        ..PLAIN
    },
    Scenario {
        name: "pm install",
        words: "install",
        configure: calm,
        prepare: |_, machine| programs::before(machine),
        afterwards: programs::install_is_finished,
        ..PLAIN
    },
    Scenario {
        name: "pm update",
        words: "update --yes",
        configure: calm,
        prepare: programs::published,
        afterwards: programs::update_is_finished,
        ..PLAIN
    },
    Scenario { name: "pm update --rollback", ..ROLLBACK },
    Scenario {
        name: "pm update --rollback by steps",
        // Some file systems know no exchange of two names.
        always: "renameat2:error=EINVAL",
        ..ROLLBACK
    },
];
