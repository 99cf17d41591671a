//! What a kill leaves of an update or of a way back, and how the next one ends it.
#![expect(clippy::await_holding_lock, reason = "every test has a runtime of its own")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::*;

const OLD: &str = "5.0.0";
const NEW: &str = "5.1.0";

/// One test at a time: a program that another thread starts holds open, for a moment, what is being written and locked here.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder with a program for each of these names, of this version.
fn folder(programs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, version) in programs {
        let path = folder.path().join(name);
        fs::write(&path, program(name, version)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// A program that can do no more than say its version, by the name that it will have.
fn program(name: &str, version: &str) -> String {
    let name = if name.contains("monitor") { "pm-monitor" } else { "pm" };
    format!("#!/bin/sh\necho {name} {version}\n")
}

/// Every file with the version that it is of.
fn contents(folder: &TempDir) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let version = text.split_whitespace().last().unwrap_or_default().to_owned();
            (path.file_name().unwrap().to_string_lossy().into_owned(), version)
        })
        .collect();
    found.sort();
    found
}

/// Both programs of this version, and of that one before.
fn pairs(present: &str, old: &str) -> Vec<(String, String)> {
    let all = [("pm", present), ("pm-monitor", present), ("pm-monitor.old", old), ("pm.old", old)];
    all.map(|(name, version)| (name.to_owned(), version.to_owned())).to_vec()
}

async fn update(folder: &TempDir) -> Result<(), ReleaseError> {
    let installation = Installation::at(folder.path()).unwrap();
    let programs = PROGRAMS.map(|name| (name, program(name, NEW).into_bytes())).to_vec();
    let staged = installation.stage(programs, &NEW.parse().unwrap()).await?;
    installation.replace(staged)
}

async fn roll_back(folder: &TempDir) -> Result<String, ReleaseError> {
    Installation::at(folder.path()).unwrap().roll_back().await
}

#[tokio::test]
async fn an_update_that_was_killed_is_finished_by_the_next_one_and_gone_back_from() {
    let _alone = alone();
    let killed: [&[(&str, &str)]; 4] = [
        &[("pm-monitor", OLD), ("pm", OLD), (".pm-monitor.a1B2c3", NEW), (".pm.a1B2c3", "half")],
        &[("pm-monitor", OLD), ("pm", OLD), (".pm-monitor.keep", OLD), ("pm.old", "4.9.0")],
        &[("pm-monitor", OLD), ("pm", OLD), ("pm-monitor.old", OLD), (".pm-monitor.a1B2c3", NEW)],
        &[("pm-monitor", NEW), ("pm", OLD), ("pm-monitor.old", OLD), ("pm.old", "4.9.0")],
    ];
    for left in killed {
        let folder = folder(left);
        update(&folder).await.unwrap();
        assert_eq!(contents(&folder), pairs(NEW, OLD), "{left:?}");
        assert_eq!(roll_back(&folder).await.unwrap(), OLD);
        assert_eq!(contents(&folder), pairs(OLD, NEW), "{left:?}");
    }
}

#[tokio::test]
async fn where_there_are_two_versions_the_way_back_leads_to_the_older() {
    let _alone = alone();
    let halves: [&[(&str, &str)]; 3] = [
        // An update.
        &[("pm-monitor", NEW), ("pm", OLD), ("pm-monitor.old", OLD), ("pm.old", "4.9.0")],
        // The first update of all.
        &[("pm-monitor", NEW), ("pm", OLD), ("pm-monitor.old", OLD)],
        // A way back.
        &[("pm-monitor", OLD), ("pm", NEW), ("pm-monitor.old", NEW), ("pm.old", OLD)],
    ];
    for left in halves {
        let folder = folder(left);
        assert_eq!(roll_back(&folder).await.unwrap(), OLD);
        let present = contents(&folder).into_iter().filter(|(name, _)| !name.contains(".old"));
        assert_eq!(present.collect::<Vec<_>>(), pairs(OLD, NEW)[..2], "{left:?}");
    }
}

#[tokio::test]
async fn what_would_leave_two_versions_is_refused() {
    let _alone = alone();
    let left = [("pm-monitor", OLD), ("pm", OLD), ("pm-monitor.old", OLD), ("pm.old", "4.9.0")];
    let folder = folder(&left);
    let before = contents(&folder);
    let error = roll_back(&folder).await.unwrap_err();
    assert!(matches!(&error, ReleaseError::OldDiffers { wanted, .. } if wanted == OLD), "{error}");
    assert_eq!(contents(&folder), before);
}

#[tokio::test]
async fn a_program_that_does_not_run_is_gone_back_from() {
    let _alone = alone();
    let folder = folder(&[("pm-monitor", NEW), ("pm", NEW), ("pm-monitor.old", OLD), ("pm.old", OLD)]);
    fs::write(folder.path().join("pm-monitor"), "#!/bin/sh\nexit 1\n").unwrap();
    assert_eq!(roll_back(&folder).await.unwrap(), OLD);
    assert_eq!(contents(&folder)[..2], pairs(OLD, NEW)[..2]);
}

#[tokio::test]
async fn where_names_cannot_be_exchanged_a_kill_loses_neither_program() {
    let _alone = alone();
    let folder = folder(&[("pm-monitor", NEW), ("pm", NEW), ("pm-monitor.old", OLD), ("pm.old", OLD)]);
    let installation = Installation::at(folder.path()).unwrap();
    for name in PROGRAMS {
        installation.exchange_by_steps(name).unwrap();
    }
    assert_eq!(contents(&folder), pairs(OLD, NEW));
    // Killed before the second step, and before the third.
    let at = |name: &str| folder.path().join(name);
    fs::hard_link(at("pm-monitor"), at(".pm-monitor.before")).unwrap();
    fs::hard_link(at("pm"), at(".pm.before")).unwrap();
    fs::rename(at("pm.old"), at("pm")).unwrap();
    assert_eq!(roll_back(&folder).await.unwrap(), OLD);
    assert_eq!(contents(&folder), pairs(OLD, NEW));
}

#[tokio::test]
async fn two_at_once_are_one_too_many() {
    let _alone = alone();
    let folder = folder(&[("pm-monitor", OLD), ("pm", OLD), ("pm-monitor.old", NEW), ("pm.old", NEW)]);
    let installation = Installation::at(folder.path()).unwrap();
    let programs = PROGRAMS.map(|name| (name, program(name, NEW).into_bytes())).to_vec();
    let staged = installation.stage(programs, &NEW.parse().unwrap()).await.unwrap();
    assert!(matches!(update(&folder).await, Err(ReleaseError::Busy { .. })));
    assert!(matches!(roll_back(&folder).await, Err(ReleaseError::Busy { .. })));
    installation.replace(staged).unwrap();
    assert_eq!(contents(&folder), pairs(NEW, OLD));
}
