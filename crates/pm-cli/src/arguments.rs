//! What can be typed after `pm`, checked before anything is touched.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use pm_core::config::GroupId;
use pm_core::edit::telegram;
use pm_core::port::PortRange;
use pm_core::quota::{Mode, Thresholds};
use pm_core::reset::ResetDay;
use pm_core::units::{Bytes, Rate, UnitError, shown};

use crate::completions::Shell;
use crate::text::Language;

const EXAMPLES: &str = "Examples:
  pm add 10086 --quota 10 --comment Snell        10 GB for port 10086
  pm add 20000-20100 --quota 500MB --limit 20    a range that shares 500 MB and 20 Mbps
  pm set 10086 --quota 20 --reset-day 1          20 GB, anew on the 1st of each month
  pm list                                        all ports
  pm top                                         all ports, live
  pm export moved.json                           everything, for another machine
  pm --monitor                                   one minute, as the crontab line calls it";
const NUMBERS: &str =
    "Sizes are powers of 1024 (GB when no unit is given), speeds powers of 1000 (Mbps when none is given).";
/// The last line of `--help`.
pub(crate) const EXIT_STATUS: &str =
    "Exit status: 0 done; 1 failed, or saved but not in force; 2 not understood.";

/// Meters, limits and cuts off the traffic of ports.
#[derive(Debug, Parser)]
#[command(
    name = "pm",
    version,
    args_conflicts_with_subcommands = false,
    after_help = format!("{EXAMPLES}\n\n{NUMBERS}\n{EXIT_STATUS}")
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Run one minute of the monitor, as the crontab line does
    #[arg(long)]
    pub(crate) monitor: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask nothing, go ahead
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Print nothing but data and errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// The language of what is printed
    #[arg(long, global = true, value_name = "LANGUAGE", env = "PM_LANG", default_value = "zh")]
    pub(crate) lang: Language,
    /// Keep all files under this folder instead of /
    #[arg(long, global = true, value_name = "DIR", env = "PM_ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// The network interface to shape; with a change it is kept, `auto` follows the default route
    #[arg(long, global = true, value_name = "NAME", value_parser = interface)]
    pub(crate) interface: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all ports
    List,
    /// Show one port
    Show {
        /// A port or a range, such as 10086 or 20000-20100
        port: PortRange,
    },
    /// Meter a port or a range of ports
    Add {
        /// A port or a range, such as 10086 or 20000-20100
        port: PortRange,
        #[command(flatten)]
        settings: SettingArguments,
    },
    /// Change a port; with --interface or --take-over alone, the shaping of the machine
    Set {
        /// A port or a range, such as 10086 or 20000-20100
        port: Option<PortRange>,
        #[command(flatten)]
        settings: SettingArguments,
        /// Leave the group, and keep its quota, mode and reset day as the port's own
        #[arg(long, conflicts_with = "group")]
        no_group: bool,
        /// Replace a root qdisc that somebody configured on the interface (it is put back afterwards)
        #[arg(long)]
        take_over: bool,
    },
    /// Stop metering ports
    Rm {
        /// Ports or ranges
        #[arg(required = true, value_name = "PORT")]
        ports: Vec<PortRange>,
    },
    /// Start a new cycle: usage, warnings, block and punishment of these ports are cleared
    Reset {
        /// Ports or ranges
        #[arg(required = true, value_name = "PORT")]
        ports: Vec<PortRange>,
    },
    /// Slow a port down for a while when it hogs the line
    Dynqos {
        /// A port or a range
        port: PortRange,
        /// on or off
        switch: Switch,
        /// Strike for each minute whose average is above this
        #[arg(long, value_name = "SPEED", allow_negative_numbers = true, required_if_eq("switch", "on"))]
        trigger: Option<Speed>,
        /// Punish after this many strikes in a row
        #[arg(long, value_name = "N", allow_negative_numbers = true, required_if_eq("switch", "on"))]
        minutes: Option<u32>,
        /// The speed of a punished port
        #[arg(long, value_name = "SPEED", allow_negative_numbers = true, required_if_eq("switch", "on"))]
        penalty: Option<Speed>,
        /// Minutes that a punishment lasts
        #[arg(long, value_name = "N", allow_negative_numbers = true, required_if_eq("switch", "on"))]
        duration: Option<u32>,
    },
    /// Who is told by Telegram, and of what
    Telegram {
        #[command(subcommand)]
        command: TelegramCommand,
    },
    /// The report on all ports, now
    Report {
        /// Send it to Telegram and the other channels too
        #[arg(long)]
        send: bool,
    },
    /// Watch all ports live, until q
    #[command(
        after_help = "Keys: up and down choose a port, Enter shows its page, / filters; p, r, u and % sort by port, rate, usage and share of the quota, again the other way round; q, Esc and Ctrl-C leave."
    )]
    Top,
    /// Write everything, usage and secrets included, into one document for another machine
    #[command(
        after_help = "Examples:\n  pm export moved.json\n  pm export | ssh new-machine pm import - --yes"
    )]
    Export {
        /// The document; `-` or none writes to standard output
        file: Option<PathBuf>,
    },
    /// Replace everything by an export of pm, or add the ports of another program
    ///
    /// The file is checked first, what would change is shown, and an import that cannot be brought into force is undone.
    #[command(
        after_help = "port-traffic-dog: its config.json, and traffic_data.json beside it for the usage.\ntrafficcop: its ports_traffic_config.json, or a report of view_port_traffic.sh --export for the usage.\nTheir ports are added to the present ones. Ports that are metered here already stay as they are.\n\nExamples:\n  ssh old pm export | pm import - --yes\n  pm import --from port-traffic-dog /etc/port-traffic-dog/config.json"
    )]
    Import {
        /// The file; `-` reads standard input
        file: PathBuf,
        /// The program that wrote it
        #[arg(long, value_name = "PROGRAM", default_value = "pm")]
        from: Origin,
    },
    /// Put pm onto this machine: its programs, what they need, and the schedule that runs them; again changes nothing
    #[command(
        after_help = "Without a choice, a timer runs pm where systemd runs the machine, and cron elsewhere; what is there already stays.\n\nExamples:\n  pm install\n  pm install --service --every 5s\n  pm install --yes          packages that are missing are installed without asking"
    )]
    Install {
        #[command(flatten)]
        runner: RunnerArguments,
        /// Run a minute this often, 1s to 1h; a minute unless told otherwise
        #[arg(long, value_name = "TIME", conflicts_with = "cron")]
        every: Option<Period>,
    },
    /// Install a newer release, if there is one
    ///
    /// The release address and the publisher's key are those of the program, or those of `update` in config.json. The
    /// programs before stay beside the new ones as pm.old and pm-monitor.old.
    #[command(
        after_help = "Examples:\n  pm update              show what is new, and ask\n  pm update --yes        go ahead\n  pm update --rollback   back to the programs before"
    )]
    Update {
        /// Go back to the programs before the last update
        #[arg(long)]
        rollback: bool,
    },
    /// Look for what is wrong with this machine, and say what to do about it
    #[command(
        after_help = "Exit status: 0 when nothing is broken, 1 when something is; a warning is no fault."
    )]
    Doctor {
        /// Repair what can be repaired: what pm install does, and one minute
        #[arg(long)]
        fix: bool,
    },
    /// Take pm off this machine: its schedule, its rules, its limits, its files; asks for a whole `yes`
    Uninstall {
        /// Leave the configuration with everything used, settled to the last byte
        #[arg(long)]
        keep_data: bool,
    },
    /// Print the script by which a shell completes pm
    #[command(
        after_help = "Examples:\n  pm completions bash > /etc/bash_completion.d/pm\n  pm completions zsh > /usr/local/share/zsh/site-functions/_pm\n  pm completions fish > /etc/fish/completions/pm.fish"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual, a page for pm and one for each command, into a folder
    #[command(after_help = "Examples:\n  pm manual /usr/local/share/man/man1")]
    Manual {
        /// The folder; it is made when it is not there
        folder: PathBuf,
    },
}

/// Who runs the monitor.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct RunnerArguments {
    /// Cron runs pm, once a minute
    #[arg(long)]
    pub(crate) cron: bool,
    /// A timer of systemd runs pm
    #[arg(long)]
    pub(crate) systemd: bool,
    /// A service of systemd stays and runs pm
    #[arg(long)]
    pub(crate) service: bool,
}

/// A program whose document can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Origin {
    /// An export of pm
    Pm,
    /// port-traffic-dog or a fork of it
    PortTrafficDog,
    /// trafficcop, as far as it limits ports
    #[value(name = "trafficcop")]
    TrafficCop,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TelegramCommand {
    /// Show the settings, the token masked
    Show,
    /// Change the bot, the chat or the way; on a terminal and without options, asks for token and chat
    Set(TelegramSet),
    /// Send messages
    On,
    /// Send none
    Off,
    /// Send a test message, wait for the answer and show it
    Test,
    /// Warn at these percentages of a quota
    Thresholds {
        /// Whole numbers from 1 to 100, such as 50,80,100
        #[arg(value_parser = telegram::thresholds)]
        levels: Thresholds,
    },
    /// Send a report this often
    Report {
        /// Hours between reports, 1 to 168; 0 for none
        #[arg(value_parser = telegram::hours, allow_negative_numbers = true)]
        hours: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TelegramSet {
    /// The bot's token is in this file; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The chat: a number, such as -1001234567890, or @channel
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) chat: Option<String>,
    /// The address of the Bot API or of a mirror; an empty one restores Telegram's own
    #[arg(long, value_name = "URL")]
    pub(crate) api_url: Option<String>,
    /// The address of an http or socks5 proxy in front of it; an empty one removes it
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// The language of the messages
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) messages: Option<Language>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Punish from now on
    On,
    /// Never punish
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct SettingArguments {
    /// Traffic per cycle, such as 10, 0.5, 500MB, 20MiB, 2TB; `unlimited` only meters
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) quota: Option<Quota>,
    /// What counts: both directions, or outbound alone
    #[arg(long, value_parser = mode)]
    pub(crate) mode: Option<Mode>,
    /// Speed limit on outbound traffic, such as 100, 800kbps, 1.5Gbps; 0 for none
    #[arg(long, value_name = "SPEED", allow_negative_numbers = true)]
    pub(crate) limit: Option<Speed>,
    /// Start anew on this day of each month, 1 to 31; 0 for never
    #[arg(long, value_name = "DAY", allow_negative_numbers = true)]
    pub(crate) reset_day: Option<Day>,
    /// A remark, any text of up to 200 characters
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    pub(crate) comment: Option<String>,
    /// Share quota, mode and reset day with the ports of this group
    #[arg(long, value_name = "ID", value_parser = GroupId::new)]
    pub(crate) group: Option<GroupId>,
}

impl SettingArguments {
    pub(crate) fn settings(&self, no_group: bool) -> pm_core::edit::Settings {
        pm_core::edit::Settings {
            quota: self.quota.map(|quota| quota.0),
            mode: self.mode,
            limit: self.limit.map(|limit| limit.0),
            reset_day: self.reset_day.map(|day| day.0),
            comment: self.comment.clone(),
            group: if no_group { Some(None) } else { self.group.clone().map(Some) },
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota(pub(crate) Option<Bytes>);

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("unlimited") {
            return Ok(Self(None));
        }
        let explain = |error: UnitError| format!("{error}; `unlimited` only meters");
        text.parse().map(|bytes| Self(Some(bytes))).map_err(explain)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed(pub(crate) Option<Rate>);

impl FromStr for Speed {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        Rate::parse_limit(text).map(Self)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Period(pub(crate) SignedDuration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = SignedDuration::from_secs(1)..=SignedDuration::from_hours(1);
        let whole = |period: &SignedDuration| allowed.contains(period) && period.subsec_nanos() == 0;
        let period = text.parse().ok().filter(whole);
        period
            .map(Self)
            .ok_or_else(|| format!("`{}` is not a time from 1s to 1h, such as 5s or 1m", shown(text)))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Day(pub(crate) Option<ResetDay>);

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day: Option<u8> =
            text.parse().ok().filter(|day| *day <= 31 && text.bytes().all(|b| b.is_ascii_digit()));
        let refused = || {
            format!("`{}` is not a day of the month: write 1 to 31, or 0 for no monthly reset", shown(text))
        };
        day.map(|day| Self(ResetDay::new(day))).ok_or_else(refused)
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let known = [Mode::Both, Mode::OutOnly].into_iter().find(|mode| mode.name() == text);
    known.ok_or_else(|| format!("`{}` is not a mode: write both or out_only", shown(text)))
}

/// A pasted carriage return is no part of a remark.
#[expect(clippy::unnecessary_wraps, reason = "clap expects a result")]
fn comment(text: &str) -> Result<String, String> {
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn interface(text: &str) -> Result<String, String> {
    /// The kernel's IFNAMSIZ, less its terminating zero.
    const LONGEST: usize = 15;
    let fits = (1..=LONGEST).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    let refused =
        || format!("`{}` is not the name of a network interface: `ip link` lists them", shown(text));
    if fits { Ok(text.to_owned()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_values_name_the_option_the_value_and_what_is_allowed() {
        let cases: [(&[&str], [&str; 3]); 11] = [
            (&["add", "0443", "--quota", "1"], ["<PORT>", "0443", "1 to 65535"]),
            (&["add", "65536", "--quota", "1"], ["PORT", "65536", "1 to 65535"]),
            (&["add", "10-5", "--quota", "1"], ["PORT", "10-5", "lower port first"]),
            (&["add", "80", "--quota", "ten"], ["--quota", "ten", "500MB"]),
            (&["add", "80", "--quota", "0"], ["--quota", "`0`", "above 0"]),
            (&["add", "80", "--mode", "inbound"], ["--mode", "inbound", "both or out_only"]),
            (&["add", "80", "--limit", "-5"], ["--limit", "-5", "8kbps"]),
            (&["add", "80", "--reset-day", "32"], ["--reset-day", "32", "1 to 31"]),
            (&["set", "80", "--group", "a\nb"], ["--group", "a\\nb", "64 characters"]),
            (&["install", "--every", "0.5s"], ["--every", "0.5s", "1s to 1h"]),
            (&["list", "--interface", "a b"], ["--interface", "a b", "ip link"]),
        ];
        for (arguments, words) in cases {
            let error = Arguments::try_parse_from([&["pm"], arguments].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            for word in words {
                assert!(text.contains(word), "{arguments:?}: {word:?} is not in {text}");
            }
        }
    }

    #[test]
    fn what_was_mistyped_is_met_with_what_was_probably_meant() {
        let cases: [(&[&str], &str); 5] = [
            (&["lst"], "'list'"),
            (&["tops"], "'top'"),
            (&["complettions", "bash"], "'completions'"),
            (&["add", "80", "--qouta", "5"], "'--quota'"),
            (&["completions", "bsh"], "'bash'"),
        ];
        for (arguments, meant) in cases {
            let error = Arguments::try_parse_from([&["pm"], arguments].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(meant), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn help_ends_with_the_exit_status() {
        let help = Arguments::try_parse_from(["pm", "--help"]).unwrap_err().to_string();
        let tail: Vec<&str> = help.lines().rev().take(2).collect();
        let tail = format!("{} {}", tail[1].trim(), tail[0].trim());
        assert!(tail.ends_with(EXIT_STATUS), "{tail}");
    }

    #[test]
    fn switching_the_penalty_on_takes_all_four_figures() {
        let parse = |text: &str| Arguments::try_parse_from(text.split(' '));
        assert!(parse("pm dynqos 80 on --trigger 100 --minutes 5 --penalty 5").is_err());
        assert!(parse("pm dynqos 80 on --trigger 100 --minutes 5 --penalty 5 --duration 60").is_ok());
        assert!(parse("pm dynqos 80 off").is_ok());
    }
}
