//! Machines that `OpenRC` or sysvinit start and stop: a script of ours, its links, and nobody else's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{ALL, Bench, Notes, tree};
use crate::SetupError;
use crate::crontab;
use crate::initscript::Init;
use crate::schedule::Wish;
use crate::uninstall::Removed;

const OPENRC: [(&str, &str); 1] = [("sbin/rc-update", "")];
const SYSV: [(&str, &str); 3] = [("etc/inittab", ""), ("etc/rc0.d/README", ""), ("etc/init.d/README", "")];

fn put(bench: &Bench, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A root that is not the machine's own.
fn image(files: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new(Notes::with(&ALL), false);
    bench.live = false;
    put(&bench, files);
    bench
}

#[test]
fn below_a_root_the_script_comes_with_its_links_and_goes_with_them() {
    let openrc: &[&str] = &["etc/runlevels/default/pm"];
    let sysv: &[&str] = &["etc/rcS.d/S12pm", "etc/rc0.d/K06pm", "etc/rc6.d/K01pm"];
    for (files, links) in [(&OPENRC[..], openrc), (&SYSV[..], sysv)] {
        let bench = image(files);
        if links == sysv {
            put(&bench, &[("etc/rcS.d/S12networking", ""), ("etc/rc0.d/K06networking", "")]);
        }
        let before = tree(bench.folder.path());
        let steps = bench.install(None);
        assert!(steps.contains(&"InitScript".to_owned()), "{steps:?}");
        let mode = fs::metadata(bench.path("etc/init.d/pm")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        for link in links {
            assert!(fs::read_link(bench.path(link)).unwrap().ends_with("init.d/pm"), "{link}");
        }
        assert!(!bench.text("var/spool/cron/crontabs/root").contains("@reboot"));
        let installed = tree(bench.folder.path());
        assert_eq!(bench.install(None), ["NothingToDo"]);
        assert_eq!(tree(bench.folder.path()), installed);
        let farewell = bench.uninstall(false);
        assert!(farewell.faults.is_empty(), "{:?}", farewell.faults);
        assert!(farewell.removed.contains(&Removed::File(bench.path("etc/init.d/pm"))));
        assert_eq!(tree(bench.folder.path()), before);
        assert_eq!(bench.system.commands(), [] as [&str; 0]);
    }
}

#[test]
fn a_live_machine_is_told_of_the_script_once_and_of_its_end() {
    let bench = Bench::new(Notes::with(&[&ALL[..], &["rc-update"]].concat()), false);
    fs::create_dir_all(bench.path("run/openrc")).unwrap();
    bench.install(None);
    assert_eq!(bench.system.commands(), ["rc-update add pm default", "rc-service pm start", "crontab -"]);
    assert!(!Init::OpenRc.stands(&bench.site()), "nobody made the link");
    // As `rc-update` does it.
    fs::create_dir_all(bench.path("etc/runlevels/default")).unwrap();
    symlink("/etc/init.d/pm", bench.path("etc/runlevels/default/pm")).unwrap();
    assert!(Init::OpenRc.stands(&bench.site()));
    bench.install(None);
    assert_eq!(bench.system.commands(), [] as [&str; 0]);
    assert!(bench.uninstall(false).faults.is_empty());
    assert_eq!(bench.system.commands(), ["crontab -r", "rc-service pm stop", "rc-update --all del pm"]);
    assert!(fs::symlink_metadata(bench.path("etc/runlevels/default/pm")).is_err());

    let bench = Bench::new(Notes::with(&[&ALL[..], &["update-rc.d"]].concat()), false);
    put(&bench, &SYSV);
    bench.install(None);
    assert_eq!(bench.system.commands(), ["update-rc.d pm defaults", "crontab -"]);
    bench.uninstall(false);
    assert_eq!(bench.system.commands(), ["crontab -r", "update-rc.d -f pm remove"]);
}

#[test]
fn a_refused_command_is_told_and_the_line_for_the_boot_stays() {
    let fails = [("rc-update", "no such runlevel")].into();
    let bench = Bench::new(Notes { fails, ..Notes::with(&[&ALL[..], &["rc-update"]].concat()) }, false);
    let table = format!("{}\n{}\n", crontab::MINUTE, crontab::BOOT).into_bytes();
    *bench.system.crontab.borrow_mut() = Some(table.clone());
    let (refused, _) = bench.install_with(Wish::default(), true);
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("`rc-update add pm default` by hand"), "{refused}");
    assert_eq!(bench.system.crontab.borrow().as_ref(), Some(&table));
}

#[test]
fn somebody_elses_script_is_neither_replaced_nor_removed() {
    let bench = image(&OPENRC);
    put(&bench, &[("etc/init.d/pm", "#!/bin/sh\nexec process-manager\n"), ("etc/runlevels/default/x", "")]);
    symlink("/etc/init.d/pm", bench.path("etc/runlevels/default/pm")).unwrap();
    let before = tree(bench.folder.path());
    let (refused, _) = bench.install_with(Wish::default(), true);
    assert!(matches!(refused, Err(SetupError::Foreign(_))));
    assert!(bench.uninstall(false).faults.is_empty());
    assert_eq!(tree(bench.folder.path()), before);
}

#[test]
fn where_systemd_takes_over_or_nobody_runs_scripts_there_is_none() {
    let bench = image(&SYSV);
    bench.install(None);
    fs::create_dir_all(bench.path("run/systemd/system")).unwrap();
    bench.install(None);
    assert!(
        !bench.path("etc/init.d/pm").exists() && bench.path("etc/systemd/system/pm-boot.service").exists()
    );
    // A container: no init, so no inittab.
    let bench = image(&SYSV[1..]);
    bench.install(None);
    assert!(!bench.path("etc/init.d/pm").exists());
    assert!(bench.text("var/spool/cron/crontabs/root").contains("@reboot"));
}
