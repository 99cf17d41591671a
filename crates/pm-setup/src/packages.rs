//! The programs that pm needs of others, and how each package manager installs them.

use crate::error::SetupError;
use crate::site::Site;
use crate::system::System;

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora, RHEL and its kin from version 8.
    Dnf,
    /// What RHEL 7 and its kin have.
    Yum,
    /// Alpine.
    Apk,
    /// Arch.
    Pacman,
    /// openSUSE.
    Zypper,
}

/// A program of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The firewall.
    Nft,
    /// The schedule, where cron was chosen.
    Crontab,
}

impl Need {
    const fn program(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Crontab => "crontab",
        }
    }
}

/// What has to be installed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The packages.
    pub packages: Vec<&'static str>,
    /// The commands, in order.
    pub commands: Vec<Vec<&'static str>>,
}

impl Installation {
    /// The commands as a person would type them.
    pub fn shown(&self) -> String {
        let commands: Vec<String> = self.commands.iter().map(|command| command.join(" ")).collect();
        commands.join(" && ")
    }

    /// Runs the commands, for all to see.
    pub fn run(&self, site: &Site<'_>) -> Result<(), SetupError> {
        let shown = |command: &Vec<&'static str>| site.system.show(command);
        self.commands.iter().try_for_each(shown).map_err(|source| SetupError::PackagesFailed {
            packages: self.packages.join(", "),
            command: self.shown(),
            source,
        })
    }
}

/// What is missing; with cron only if cron is to run pm.
pub fn missing(system: &dyn System, cron: bool) -> Vec<Need> {
    let needs = [Need::Nft].into_iter().chain(cron.then_some(Need::Crontab));
    needs.filter(|need| !system.has(need.program())).collect()
}

/// How what is missing gets here.
pub fn installation(system: &dyn System, missing: &[Need]) -> Result<Installation, SetupError> {
    let Some(manager) = Manager::of(system) else {
        let names = |name: fn(Need) -> &'static str| {
            missing.iter().map(|&need| name(need)).collect::<Vec<_>>().join(", ")
        };
        return Err(SetupError::NoPackageManager {
            programs: names(Need::program),
            packages: names(|need| Manager::Apt.package(need)),
        });
    };
    let packages: Vec<&str> = missing.iter().map(|&need| manager.package(need)).collect();
    Ok(Installation { commands: manager.commands(&packages), packages })
}

impl Manager {
    /// The package manager of this machine.
    fn of(system: &dyn System) -> Option<Self> {
        const PROGRAMS: [(&str, Manager); 6] = [
            ("apt-get", Manager::Apt),
            // Where both are there, yum is another name for dnf.
            ("dnf", Manager::Dnf),
            ("yum", Manager::Yum),
            ("apk", Manager::Apk),
            ("pacman", Manager::Pacman),
            ("zypper", Manager::Zypper),
        ];
        PROGRAMS.into_iter().find(|(program, _)| system.has(program)).map(|(_, manager)| manager)
    }

    /// The package that has it.
    const fn package(self, need: Need) -> &'static str {
        match (need, self) {
            (Need::Nft, _) => "nftables",
            (Need::Crontab, Self::Apt) => "cron",
            (Need::Crontab, Self::Apk) => "dcron",
            (Need::Crontab, _) => "cronie",
        }
    }

    fn commands(self, packages: &[&'static str]) -> Vec<Vec<&'static str>> {
        let install = |words: &[&'static str]| [words, packages].concat();
        match self {
            // An image that never saw an update knows no package at all.
            Self::Apt => vec![
                vec!["apt-get", "update"],
                install(&[
                    "env",
                    "DEBIAN_FRONTEND=noninteractive",
                    "apt-get",
                    "install",
                    "-y",
                    "--no-install-recommends",
                ]),
            ],
            Self::Dnf => vec![install(&["dnf", "install", "-y"])],
            Self::Yum => vec![install(&["yum", "install", "-y"])],
            Self::Apk => vec![install(&["apk", "add", "--no-cache"])],
            Self::Pacman => vec![install(&["pacman", "-S", "--needed", "--noconfirm"])],
            Self::Zypper => vec![install(&["zypper", "--non-interactive", "install"])],
        }
    }
}
