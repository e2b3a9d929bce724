//! An example copied out of the project and built as a user would: none of the project's own
//! settings reach it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::process::Process;
use crate::server::Absent;

/// Copies `example` to the directory of temporary files, builds it there and gives its program.
///
/// Its target directory stays, so that the next run builds only what changed.
pub(crate) fn build(example: &Path) -> Result<PathBuf> {
    if !example.join("Cargo.toml").is_file() {
        return Err(Absent(format!("there is no {}; name the project with --root", example.display())).into());
    }
    let name = example.file_name().context("an example has a name")?;
    let place = std::env::temp_dir().join("prime_server-load");
    let copy = place.join(name);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot clear {}", copy.display()))?;
    }
    copy_folder(example, &copy).with_context(|| format!("cannot copy {} to {}", example.display(), copy.display()))?;
    let package = stand_alone(example, &copy)?;
    let target = place.join("target");
    cargo_build(&copy, &target)?;
    Ok(target.join("release").join(package))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), to)?;
        } else if entry.file_name() != "target" {
            copy_folder(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Writes the copy's manifest; gives the package's name.
fn stand_alone(example: &Path, copy: &Path) -> Result<String> {
    let manifest = copy.join("Cargo.toml");
    let (text, package) = rewrite(&fs::read_to_string(&manifest)?, example)
        .with_context(|| format!("{} cannot be copied out", example.join("Cargo.toml").display()))?;
    fs::write(&manifest, text)?;
    Ok(package)
}

/// Makes `manifest` independent of where it lay: paths absolute, and a workspace of its own.
fn rewrite(manifest: &str, example: &Path) -> Result<(String, String)> {
    let mut manifest: DocumentMut = manifest.parse()?;
    let package = manifest["package"]["name"].as_str().context("it has no package name")?.to_owned();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let Some(dependencies) = manifest.get_mut(kind).and_then(Item::as_table_like_mut) else {
            continue;
        };
        for (name, dependency) in dependencies.iter_mut() {
            if let Some(dependency) = dependency.as_table_like_mut() {
                make_absolute(dependency, example).with_context(|| format!("{kind}: {name}"))?;
            }
        }
    }
    manifest.insert("workspace", Item::Table(Table::new()));
    Ok((manifest.to_string(), package))
}

fn make_absolute(dependency: &mut dyn TableLike, example: &Path) -> Result<()> {
    ensure!(
        dependency.get("workspace").is_none(),
        "`workspace = true` means nothing outside the project; give a version or a path"
    );
    if let Some(path) = dependency.get("path").and_then(Item::as_str) {
        let absolute = example.join(path);
        let absolute = absolute.canonicalize().with_context(|| format!("there is no {}", absolute.display()))?;
        dependency.insert("path", value(absolute.to_str().context("the path is not UTF-8")?));
    }
    Ok(())
}

fn cargo_build(copy: &Path, target: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(copy)
        .args(["build", "--release", "--target-dir"])
        .arg(target)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_needed(name)));
    eprintln!("  building {} with a clean environment", copy.display());
    let (cargo, mut stdout) = Process::start(&mut cargo).context("building the example needs cargo")?;
    io::copy(&mut stdout.by_ref(), &mut io::sink())?;
    if !cargo.wait()?.success() {
        bail!("cargo build failed in {}: {}", copy.display(), cargo.complaint());
    }
    Ok(())
}

/// What cargo needs to find itself and the registry. Everything else stays out, flags for compilers
/// first of all.
fn is_needed(name: &OsStr) -> bool {
    const NAMES: [&str; 9] = [
        "PATH",
        "HOME",
        "USER",
        "TMPDIR",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    let Some(name) = name.to_str() else {
        return false;
    };
    NAMES.contains(&name)
        || name.to_ascii_lowercase().ends_with("_proxy")
        || ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> Result<tempfile::TempDir> {
        let project = tempfile::tempdir()?;
        fs::create_dir_all(project.path().join("examples/hello/src"))?;
        fs::create_dir_all(project.path().join("prime_server"))?;
        Ok(project)
    }

    #[test]
    fn paths_become_absolute_and_the_workspace_its_own() -> Result<()> {
        let project = project()?;
        let manifest = "[package]\nname = \"hello\"\n\n[dependencies]\nserde = \"1\"\n\
                        prime_server = { path = \"../../prime_server\" }\n";
        let (text, package) = rewrite(manifest, &project.path().join("examples/hello"))?;
        let prime_server = project.path().canonicalize()?.join("prime_server");
        assert_eq!(package, "hello");
        assert!(text.contains(&format!("path = \"{}\"", prime_server.display())), "{text}");
        assert!(text.contains("[workspace]"), "{text}");
        Ok(())
    }

    #[test]
    fn what_a_copy_would_lack_is_named() -> Result<()> {
        let project = project()?;
        let example = project.path().join("examples/hello");
        let with = |dependency: &str| format!("[package]\nname = \"hello\"\n[dependencies]\nx = {dependency}\n");
        for (dependency, remedy) in
            [("{ workspace = true }", "give a version or a path"), ("{ path = \"../nowhere\" }", "there is no")]
        {
            let error = rewrite(&with(dependency), &example).expect_err(dependency);
            assert!(format!("{error:#}").contains(remedy), "{error:#}");
        }
        Ok(())
    }

    #[test]
    fn flags_stay_out() {
        for name in ["RUSTFLAGS", "CXXFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WRAPPER"] {
            assert!(!is_needed(OsStr::new(name)), "{name}");
        }
        assert!(is_needed(OsStr::new("PATH")) && is_needed(OsStr::new("https_proxy")));
    }
}
