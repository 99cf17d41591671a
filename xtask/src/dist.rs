//! `cargo xtask dist`: a release, as it is served: static programs for every kind of machine, their signatures, their
//! description, and packages.

mod packages;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use pm_release::PROGRAMS;
use pm_release::release::{Program, Release};
use pm_release::signature::Publisher;

use crate::shell::{capture, cargo, command, root, run, search_path, works};
use crate::tools::{self, Tool};

/// A kind of machine: the target of the compiler, and what the package managers call it.
pub(crate) struct Machine {
    pub(crate) target: &'static str,
    /// The program that takes parts out of its programs.
    objcopy: Tool,
    pub(crate) deb: &'static str,
    pub(crate) rpm: &'static str,
}

static MACHINES: [Machine; 2] = [
    Machine {
        target: "x86_64-unknown-linux-musl",
        objcopy: Tool { needed: "x86_64-linux-gnu-objcopy", package: "binutils-x86-64-linux-gnu" },
        deb: "amd64",
        rpm: "x86_64",
    },
    Machine {
        target: "aarch64-unknown-linux-musl",
        objcopy: Tool { needed: "aarch64-linux-gnu-objcopy", package: "binutils-aarch64-linux-gnu" },
        deb: "arm64",
        rpm: "aarch64",
    },
];

/// A program larger than this is a mistake of the build.
const LARGEST: u64 = 5_000_000;

/// The sections of a program that only unwinding reads, as objcopy is told to leave them out.
const UNWINDING: [&str; 4] = ["--remove-section", ".eh_frame", "--remove-section", ".eh_frame_hdr"];

/// What links static programs for other processors. Of the compiler itself only its libraries are needed.
const LINKER: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// The programs that packages are made with.
const PACKERS: &[Tool] = &[
    Tool { needed: "dpkg-deb", package: "dpkg" },
    Tool { needed: "rpmbuild", package: "rpm" },
    Tool { needed: "gzip", package: "gzip" },
    Tool { needed: "sha256sum", package: "coreutils" },
    Tool { needed: "python3", package: "python3" },
    Tool { needed: "/usr/share/doc/python3-venv", package: "python3-venv" },
];

pub(crate) fn task(words: &[String]) -> Result<()> {
    let key = match words {
        [] => None,
        [option, file] if option == "--key" => Some(std::path::absolute(file)?),
        _ => bail!("dist takes no words but --key FILE, the secret key that minisign -G made"),
    };
    tools::ensure(PACKERS)?;
    if let Some(key) = &key {
        tools::ensure(&[Tool { needed: "minisign", package: "minisign" }])?;
        ensure!(key.is_file(), "there is no key in {}: minisign -G makes one", key.display());
    }
    let release = root().join("target/dist");
    if release.exists() {
        fs::remove_dir_all(&release).context("the last release is in the way")?;
    }
    fs::create_dir_all(&release)?;

    let version = env!("CARGO_PKG_VERSION");
    let mut targets = BTreeMap::new();
    for machine in &MACHINES {
        let built = build(machine)?;
        let mut programs = BTreeMap::new();
        for name in PROGRAMS {
            let file = format!("{name}-{version}-{}", machine.target);
            fs::copy(built.join(name), release.join(&file))
                .with_context(|| format!("{name} was not built"))?;
            let size = fs::metadata(release.join(&file))?.len();
            ensure!(size <= LARGEST, "{file} has {size} bytes, and {LARGEST} are the most it may have");
            let sha256 = sha256(&release.join(&file))?;
            programs.insert(name.to_owned(), Program { file, size, sha256 });
        }
        targets.insert(machine.target.to_owned(), programs);
        packages::deb(&built, machine, version, &release)?;
        packages::rpm(&built, machine, version, &release)?;
    }
    let notes = BTreeMap::from([("en".to_owned(), notes(version)?)]);
    let description = Release { version: version.parse()?, notes, targets };
    if let Some(key) = &key {
        for machine in &MACHINES {
            sign(key, &description, machine.target, &release)?;
        }
    }
    let text = serde_json::to_string_pretty(&description)? + "\n";
    Release::read(text.as_bytes()).map_err(anyhow::Error::msg).context("nobody could read this release")?;
    fs::write(release.join("latest.json"), text)?;
    sums(&release)?;
    show(&release)?;
    if key.is_none() {
        println!("not signed, so nobody can update to it: cargo xtask dist --key FILE signs it");
    }
    Ok(())
}

/// The kind of machine that this is.
pub(crate) fn this_machine() -> Result<&'static Machine> {
    let is_this = |machine: &&Machine| machine.target.starts_with(std::env::consts::ARCH);
    MACHINES.iter().find(is_this).context("releases are not made for machines like this one")
}

/// Builds the programs and returns the folder they are in.
pub(crate) fn build(machine: &Machine) -> Result<PathBuf> {
    println!("building for {}", machine.target);
    let words = "zigbuild --quiet --release --locked --package pm-cli --package pm-monitor --bins";
    run(linked_statically(machine, cargo(words.split(' ')))?)?;
    let fat = root().join("target").join(machine.target).join("release");
    let folder = fat.join("slim");
    fs::create_dir_all(&folder)?;
    tools::ensure(&[machine.objcopy])?;
    for name in PROGRAMS {
        // By these a panic would be unwound, an eighth of the program: ours ends there and then.
        let mut slim = command(machine.objcopy.needed, UNWINDING);
        slim.args([fat.join(name), folder.join(name)]);
        run(slim)?;
    }
    Ok(folder)
}

/// The command, made to build static programs for such a machine.
pub(crate) fn linked_statically(machine: &Machine, mut build: Command) -> Result<Command> {
    if works(command("rustup", ["--version"])) {
        run(command("rustup", ["target", "add", machine.target]))?;
    }
    let linker = linker();
    if !linker.join("bin/cargo-zigbuild").is_file() {
        run(command("python3", ["-m", "venv"].map(Path::new).into_iter().chain([linker.as_path()])))?;
        let mut install = command(linker.join("bin/pip"), ["install", "--quiet"]);
        install.args(LINKER);
        run(install)?;
    }
    build.args(["--target", machine.target]);
    build.env("PATH", format!("{}:{}", linker.join("bin").display(), search_path()));
    Ok(build)
}

/// Where the linker is installed.
pub(crate) fn linker() -> PathBuf {
    root().join("target/linker")
}

/// Signs each program of a machine, as what it is, and checks that whoever installs it will agree. minisign asks for the
/// key's password itself.
fn sign(key: &Path, description: &Release, target: &str, release: &Path) -> Result<()> {
    let public = key.with_extension("pub");
    let text = fs::read_to_string(&public)
        .with_context(|| format!("the public key is not beside the secret one, as {}", public.display()))?;
    let publisher = Publisher::new(text.lines().nth(1).unwrap_or_default())
        .with_context(|| format!("{} is not what minisign -G made", public.display()))?;
    for (name, program) in description.programs(target)? {
        let file = release.join(&program.file);
        let signature = release.join(format!("{}.minisig", program.file));
        let vouched = description.vouched(name, target);
        let mut minisign = command("minisign", ["-S", "-t", &vouched]);
        minisign.arg("-s").arg(key).arg("-m").arg(&file).arg("-x").arg(&signature);
        run(minisign)?;
        publisher.verify(&program.file, &fs::read(&file)?, &fs::read_to_string(&signature)?, vouched)?;
    }
    fs::copy(&public, release.join("minisign.pub"))?;
    Ok(())
}

/// What the changelog says of this version.
fn notes(version: &str) -> Result<String> {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md"))?;
    let heading = format!("## {version}");
    let section = changelog.split("\n## ").find(|section| format!("## {section}").starts_with(&heading));
    let section = section.with_context(|| format!("CHANGELOG.md has no section `{heading}`"))?;
    Ok(section.lines().skip(1).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}

fn sha256(file: &Path) -> Result<String> {
    let printed = capture(command("sha256sum", [file]))?;
    printed.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}

/// `SHA256SUMS`, for `sha256sum --check`.
fn sums(release: &Path) -> Result<()> {
    let mut sums = command("sha256sum", files(release)?);
    sums.current_dir(release);
    let text = capture(sums)?;
    fs::write(release.join("SHA256SUMS"), text)?;
    Ok(())
}

fn show(release: &Path) -> Result<()> {
    println!("\n{}", release.display());
    for name in files(release)? {
        println!("{:>10}  {name}", fs::metadata(release.join(&name))?.len());
    }
    Ok(())
}

fn files(release: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(release)?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}
