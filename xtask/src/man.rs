//! `cargo xtask man FOLDER`: the manual, from the definitions by which the command line is read.

use anyhow::{Result, bail};

use crate::shell::{cargo, run};

pub(crate) fn task(words: &[String]) -> Result<()> {
    let [folder] = words else { bail!("man takes the folder that the pages are written into") };
    // The folder is meant from where the person stands, and pm runs at the root of the repository.
    let folder = std::path::absolute(folder)?;
    let pm = ["run", "--quiet", "--package", "pm-cli", "--bin", "pm", "--", "manual"];
    let mut pm = cargo(pm);
    pm.arg(&folder);
    run(pm)?;
    println!("the manual is in {0}: man {0}/pm.1", folder.display());
    Ok(())
}
