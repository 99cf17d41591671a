//! Uninstalling: what is ours goes, what is not stays, and what is broken does not stop it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pm_core::edit::{Edit, Settings};
use pm_core::fake::Direction;
use pm_core::units::Bytes;

use super::{ALL, Bench, Notes, now, tree};
use crate::SetupError;
use crate::schedule::{Runner, Wish};
use crate::uninstall::{Farewell, Removed, uninstall};

impl Bench {
    pub(super) fn uninstall(&self, keep_data: bool) -> Farewell {
        self.runtime.block_on(uninstall(&self.site(), &self.machine(), &now(), keep_data))
    }

    /// Adds a port that uses some bytes which no minute has seen.
    fn traffic(&self) {
        let port = "443".parse().unwrap();
        let settings = Settings { quota: Some(Some(Bytes(1 << 20))), ..Settings::default() };
        self.runtime.block_on(self.machine().edit(&Edit::Add(port, settings), &now())).unwrap();
        self.kernel.packet(port, Direction::In, 777);
    }

    fn standing(&self) -> bool {
        let port = "443".parse().unwrap();
        let view = self.kernel.clone();
        let readings =
            self.runtime.block_on(async { pm_core::backend::Firewall::read(&view).await.unwrap() });
        readings.counters.contains_key(&port)
    }
}

#[test]
fn nothing_is_left_but_what_was_there_before() {
    for (systemd, runner) in [(true, Runner::Timer), (true, Runner::Service), (false, Runner::Cron)] {
        let bench = Bench::new(Notes::with(&ALL), systemd);
        *bench.system.crontab.borrow_mut() = Some(b"# pm --monitor\r\n0 1 * * * /a".to_vec());
        let before = tree(bench.folder.path());
        bench.install(Some(runner));
        fs::write(bench.path("usr/local/bin/pm.old"), "the pm before, of port_monitor").unwrap();
        bench.traffic();
        assert!(bench.standing());
        bench.system.commands();
        let farewell = bench.uninstall(false);
        assert!(farewell.faults.is_empty(), "{:?}", farewell.faults);
        assert!(!bench.standing());
        assert_eq!(tree(bench.folder.path()), before, "{runner:?}");
        // Where cron runs pm, the last line has the end that `crontab` insists on.
        let end = if runner == Runner::Cron { "\n" } else { "" };
        let left = format!("# pm --monitor\r\n0 1 * * * /a{end}").into_bytes();
        assert_eq!(*bench.system.crontab.borrow(), Some(left));
        let commands = bench.system.commands();
        match runner {
            Runner::Timer => assert_eq!(
                commands,
                [
                    "systemctl stop pm-monitor.timer",
                    "systemctl stop pm-monitor.service",
                    "systemctl stop pm-boot.service",
                    "systemctl daemon-reload"
                ]
            ),
            Runner::Service => assert_eq!(commands.len(), 3),
            Runner::Cron => assert_eq!(commands, ["crontab -"]),
        }
        let again = bench.uninstall(false);
        assert!(again.faults.is_empty() && again.removed == [Removed::Rules], "{again:?}");
    }
}

#[test]
fn kept_data_are_right_to_the_last_byte() {
    let bench = Bench::new(Notes::with(&ALL), true);
    bench.install(None);
    bench.traffic();
    let farewell = bench.uninstall(true);
    assert!(farewell.removed.contains(&Removed::Kept(bench.path("etc/port_monitor"))));
    assert!(bench.text("etc/port_monitor/config.json").contains("\"acc_in\": 777"));
    assert!(!bench.path("usr/local/bin/pm").exists());
    assert_eq!(bench.install(None)[0], "Program");
    let view = bench.runtime.block_on(bench.machine().view(&now())).unwrap();
    assert_eq!(view.overview.ports[0].in_bytes, Bytes(777));
}

#[test]
fn half_an_installation_goes_too_and_what_cannot_go_is_told() {
    let fails = BTreeMap::from([("systemctl", "Failed to connect to bus"), ("crontab -l", "not allowed")]);
    let bench = Bench::new(Notes { fails, ..Notes::with(&ALL) }, true);
    for (path, text) in [
        ("etc/systemd/system/pm-monitor.timer", "[Timer]"),
        ("etc/port_monitor/config.json", "{"),
        ("usr/local/bin/pm", "a process manager"),
        ("usr/local/bin/pm-monitor", "of port_monitor"),
    ] {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let farewell = bench.uninstall(false);
    let said: Vec<String> = farewell.faults.iter().map(ToString::to_string).collect();
    assert!(said.len() == 3 && said[2].contains("crontab -l"), "{said:?}");
    let file = |path: &str| Removed::File(bench.path(path));
    assert_eq!(
        farewell.removed,
        [Removed::Schedule, Removed::Rules, file("usr/local/bin/pm-monitor"), file("etc/port_monitor")]
    );
    assert_eq!(bench.text("usr/local/bin/pm"), "a process manager");
    let left: Vec<PathBuf> = tree(&bench.path("etc")).into_keys().map(PathBuf::from).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_kernel_that_refuses_keeps_nothing_else_from_going() {
    let bench = Bench::new(Notes::with(&ALL), true);
    bench.install(None);
    bench.traffic();
    bench.kernel.set_broken(true);
    let farewell = bench.uninstall(false);
    assert!(!farewell.faults.is_empty() && !farewell.removed.contains(&Removed::Rules));
    assert!(!bench.path("etc/port_monitor").exists() && !bench.path("usr/local/bin/pm").exists());
}

#[test]
fn a_folder_of_our_name_is_neither_replaced_nor_removed() {
    let bench = Bench::new(Notes::with(&ALL), true);
    fs::create_dir_all(bench.path("usr/local/bin/pm/precious")).unwrap();
    let (refused, _) = bench.install_with(Wish::default(), true);
    assert!(matches!(refused, Err(SetupError::Foreign(_))), "{refused:?}");
    let farewell = bench.uninstall(false);
    assert!(farewell.faults.is_empty(), "{farewell:?}");
    assert!(bench.path("usr/local/bin/pm/precious").is_dir());
    // A link that leads nowhere is what a removed pm leaves.
    fs::remove_dir_all(bench.path("usr/local/bin/pm")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.path("usr/local/bin/pm")).unwrap();
    assert_eq!(bench.install(None)[0], "Program");
    std::os::unix::fs::symlink("nowhere", bench.path("usr/local/bin/pm.old")).unwrap();
    bench.uninstall(false);
    assert!(fs::read_dir(bench.path("usr/local/bin")).unwrap().next().is_none());
}
