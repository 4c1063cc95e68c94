//! Writes the table of rule files that `rule::builtin` includes.
//!
//! Rules are files so that they can be read, reviewed and changed as data; the table puts
//! them into the program so that a copied binary needs nothing beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = manifest.join("../../rules");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let mut table = String::from(
        "/// Every rule file: its path from the repository's root, and its text.\n\
         pub(super) const FILES: &[(&str, &str)] = &[\n",
    );
    for file in files {
        let inside = file.strip_prefix(&root).expect("collected under it");
        let name = inside.to_str().expect("rule files have plain names").replace('\\', "/");
        let path = fs::canonicalize(&file)?;
        println!("cargo::rerun-if-changed={}", path.display());
        let path = path.to_str().expect("the checkout has a UTF-8 path");
        writeln!(table, "    ({:?}, include_str!({path:?})),", format!("rules/{name}"))
            .expect("writing to a string");
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("builtin_rules.rs"), table)
}

/// Collects the `.toml` files below `directory`. Directories are watched as well, so that
/// an added file is seen.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}
