//! Which objects a list of locations names, in which order.
//!
//! A location is a file, a directory tree, a glob, `-`, or `s3://bucket/prefix`. Output must not depend on how
//! a file system happens to list its entries, so trees and globs are sorted; and a file
//! reached twice must not count twice, or a rate would double. What a missing location
//! means is left to the caller: the others are still read.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use portcullis_aws::Arrived;
use portcullis_aws::objects::{self, Listed};
use portcullis_ingest::Timestamp;

use crate::bucket::{Ahead, Buckets, Store};
use crate::failure::Failure;
use crate::output::counted;
use crate::span::Span;

/// One object to read.
#[derive(Debug, Clone)]
pub struct Input {
    /// How outputs name it: the location as given, joined with the path below it.
    pub name: String,
    /// Stored size, where known.
    pub bytes: Option<u64>,
    /// When it was written, where known.
    pub written: Option<Timestamp>,
    /// What changes when its content does; empty where nothing tells that.
    pub version: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Stdin,
    /// One of the objects of a bucket.
    Object(Arc<Ahead>, usize),
}

impl Input {
    /// An object that is nowhere.
    #[cfg(test)]
    pub fn test(name: &str, version: &str, written: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            bytes: Some(1),
            written: Some(written),
            version: version.to_owned(),
            source: Source::Stdin,
        }
    }

    /// Whether it can be read more than once.
    pub fn opens_again(&self) -> bool {
        match &self.source {
            // A pipe has no length.
            Source::File(_) => self.bytes.is_some(),
            Source::Stdin => false,
            Source::Object(..) => true,
        }
    }

    /// The file that it is, unless it is something else.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Stdin | Source::Object(..) => None,
        }
    }

    /// Opens the object.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match &self.source {
            Source::File(path) => Ok(Box::new(File::open(path)?)),
            Source::Stdin => Ok(Box::new(io::stdin())),
            Source::Object(ahead, index) => Ok(Box::new(ahead.open(*index))),
        }
    }
}

/// Some of the inputs, in their order. What is fetched ahead is these alone.
pub fn chosen(inputs: &[Input], wanted: &[usize]) -> Vec<Input> {
    let mut chosen: Vec<Input> = wanted.iter().map(|place| inputs[*place].clone()).collect();
    let mut from = 0;
    while from < chosen.len() {
        let Source::Object(ahead, _) = &chosen[from].source else {
            from += 1;
            continue;
        };
        let same = |input: &&Input| match &input.source {
            Source::Object(other, _) => Arc::ptr_eq(other, ahead),
            _ => false,
        };
        let run: Vec<usize> = chosen[from..]
            .iter()
            .take_while(same)
            .filter_map(|input| match &input.source {
                Source::Object(_, index) => Some(*index),
                _ => None,
            })
            .collect();
        let only = ahead.only(&run);
        for (index, input) in chosen[from..from + run.len()].iter_mut().enumerate() {
            input.source = Source::Object(Arc::clone(&only), index);
        }
        from += run.len();
    }
    chosen
}

/// What a list of locations names.
#[derive(Debug, Default)]
pub struct Found {
    /// The objects, in the order of the locations, each tree sorted.
    pub inputs: Vec<Input>,
    /// Files passed over, and why.
    pub skipped: Vec<(String, &'static str)>,
    /// Directories inside a tree that are links and were not looked into.
    pub linked: Vec<String>,
    /// Locations that name nothing, or cannot be listed.
    pub failures: Vec<Failure>,
    /// What is good to know about a location, one sentence each.
    pub notes: Vec<String>,
}

/// Finds the objects that `locations` name. In a bucket, those that can hold nothing of
/// the span are left out.
pub fn find(locations: &[String], store: Store<'_>, span: Span) -> Found {
    let mut finder = Finder {
        store,
        span,
        buckets: None,
        found: Found::default(),
        taken: HashSet::new(),
        objects_taken: HashSet::new(),
        stdin_taken: false,
    };
    for location in locations {
        finder.location(location);
    }
    finder.found
}

/// The objects that somebody told of, each once.
pub fn arrived(arrived: &[Arrived], store: Store<'_>) -> Result<Found, Failure> {
    let buckets = Buckets::open(store)?;
    let mut by_bucket: BTreeMap<&str, BTreeMap<&str, &Arrived>> = BTreeMap::new();
    for arrived in arrived {
        let of_bucket = by_bucket.entry(&arrived.bucket).or_default();
        let place = of_bucket.entry(&arrived.key).or_insert(arrived);
        // Of two versions the later one is there.
        if place.time <= arrived.time {
            *place = arrived;
        }
    }
    let listed = |arrived: &&Arrived| Listed {
        key: arrived.key.clone(),
        etag: arrived.etag.clone(),
        size: arrived.size,
        modified: arrived.time,
    };
    let mut found = Found::default();
    for (bucket, objects) in by_bucket {
        let place = objects::Location { bucket: bucket.to_owned(), prefix: String::new() };
        found.take(&buckets.ahead(&place, objects.values().map(listed).collect()), bucket);
    }
    Ok(found)
}

impl Found {
    /// Adds the objects of a bucket.
    fn take(&mut self, ahead: &Arc<Ahead>, bucket: &str) {
        for (index, object) in ahead.objects().iter().enumerate() {
            self.inputs.push(Input {
                name: format!("s3://{bucket}/{}", object.key),
                bytes: Some(object.size),
                written: object.modified,
                version: object.etag.clone(),
                source: Source::Object(Arc::clone(ahead), index),
            });
        }
    }
}

struct Finder<'a> {
    store: Store<'a>,
    span: Span,
    /// Opened when the first location names one.
    buckets: Option<Buckets>,
    found: Found,
    /// Canonical paths of the files taken already.
    taken: HashSet<PathBuf>,
    /// Names of the objects in buckets taken already.
    objects_taken: HashSet<String>,
    stdin_taken: bool,
}

impl Finder<'_> {
    fn location(&mut self, location: &str) {
        if location == "-" {
            if self.stdin_taken {
                self.skip("-", "standard input is named twice");
                return;
            }
            self.stdin_taken = true;
            let source = Source::Stdin;
            self.found.inputs.push(Input {
                name: "-".to_owned(),
                bytes: None,
                written: None,
                version: String::new(),
                source,
            });
            return;
        }
        if location.starts_with("s3://") {
            if let Err(failure) = self.bucket(location) {
                self.found.failures.push(failure);
            }
            return;
        }
        let path = Path::new(location);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.tree(path),
            Ok(metadata) => self.file(path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_glob(location) => {
                self.glob(location);
            }
            Err(error) => self.fail(path, &error),
        }
    }

    fn bucket(&mut self, location: &str) -> Result<(), Failure> {
        let place = objects::Location::parse(location).ok_or_else(|| {
            Failure::because(format!("read `{location}`"), "it is no s3://BUCKET/PREFIX")
        })?;
        let buckets = match &mut self.buckets {
            Some(buckets) => buckets,
            none => none.insert(Buckets::open(self.store)?),
        };
        let mut listing = buckets.list(&place, self.span)?;
        let name = |object: &objects::Listed| format!("s3://{}/{}", place.bucket, object.key);
        let mut kept = Vec::new();
        for object in std::mem::take(&mut listing.objects) {
            if self.objects_taken.insert(name(&object)) {
                kept.push(object);
            } else {
                let name = name(&object);
                self.found.skipped.push((name, "named twice, read once"));
            }
        }
        let count = kept.len() as u64;
        self.found.take(&buckets.ahead(&place, kept), &place.bucket);
        if listing.before_span > 0 || listing.folders_passed_over > 0 {
            self.found.notes.push(format!(
                "{location}: {} read; {} written before the span and {} of other days left out",
                counted(count, "object", "objects"),
                counted(listing.before_span, "object", "objects"),
                counted(listing.folders_passed_over, "folder", "folders"),
            ));
        }
        Ok(())
    }

    fn glob(&mut self, pattern: &str) {
        let paths = match glob::glob(pattern) {
            Ok(paths) => paths,
            Err(error) => {
                self.found.failures.push(Failure::new(format!("read glob `{pattern}`"), &error));
                return;
            }
        };
        let mut any = false;
        // The crate yields matches in alphabetical order.
        for path in paths {
            any = true;
            match path {
                Ok(path) => match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => self.tree(&path),
                    Ok(metadata) => self.file(&path, &metadata),
                    Err(error) => self.fail(&path, &error),
                },
                Err(error) => {
                    let path = error.path().to_path_buf();
                    self.fail(&path, &error.into());
                }
            }
        }
        if !any {
            let action = format!("read `{pattern}`");
            self.found.failures.push(Failure::because(action, "no file matches the pattern"));
        }
    }

    fn tree(&mut self, directory: &Path) {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.fail(directory, &error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if let Some(reason) = no_log(&entry.file_name()) {
                self.skip(&name_of(&path), reason);
                continue;
            }
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                // A linked directory may lead back up and never end.
                Ok(metadata) if metadata.is_dir() && is_link => {
                    self.found.linked.push(name_of(&path));
                }
                Ok(metadata) if metadata.is_dir() => self.tree(&path),
                Ok(metadata) if metadata.is_file() => self.file(&path, &metadata),
                Ok(_) => self.skip(&name_of(&path), "not a regular file"),
                Err(error) => self.fail(&path, &error),
            }
        }
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) {
        // A pipe (`<(zcat …)`) has no canonical path worth comparing.
        if metadata.is_file()
            && let Ok(canonical) = path.canonicalize()
            && !self.taken.insert(canonical)
        {
            self.skip(&name_of(path), "named twice, read once");
            return;
        }
        let written = metadata.modified().ok();
        let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        self.found.inputs.push(Input {
            name: name_of(path),
            bytes: metadata.is_file().then_some(metadata.len()),
            written: written
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .and_then(Timestamp::from_epoch_ms),
            version: written.map_or(String::new(), |since| since.as_nanos().to_string()),
            source: Source::File(path.to_path_buf()),
        });
    }

    fn skip(&mut self, name: &str, reason: &'static str) {
        self.found.skipped.push((name.to_owned(), reason));
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        let action = format!("read `{}`", name_of(path));
        self.found.failures.push(Failure::new(action, error));
    }
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn is_glob(location: &str) -> bool {
    location.contains(['*', '?', '['])
}

/// Why a file or directory inside a tree is passed over, if it is.
fn no_log(file_name: &OsStr) -> Option<&'static str> {
    let name = file_name.to_string_lossy();
    let lower = name.to_lowercase();
    let extension = Path::new(&lower).extension();
    if name.starts_with('.') {
        Some("hidden")
    } else if name.starts_with("MANIFEST")
        || name == "truth.json"
        || name.starts_with("README")
        || name.starts_with("LICENSE")
        || extension.is_some_and(|extension| extension == "md" || extension == "toml")
    {
        Some("no log, by its name")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Access;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, "x").expect("written");
        }
        root
    }

    #[track_caller]
    fn check(files: &[&str], locations: &[&str], expected: &[&str]) -> Found {
        let root = tree(files);
        let base = root.path().to_str().expect("UTF-8").to_owned();
        let locations: Vec<String> = locations.iter().map(|l| format!("{base}/{l}")).collect();
        let store = Store { access: &Access::default(), requester_pays: false };
        let found = find(&locations, store, Span::default());
        let names: Vec<_> = found
            .inputs
            .iter()
            .map(|input| input.name.strip_prefix(&format!("{base}/")).expect("below the root"))
            .collect();
        assert_eq!(names, expected);
        found
    }

    #[test]
    fn a_tree_is_read_in_sorted_order() {
        check(
            &["t/b/1.gz", "t/a/2", "t/a/10", "t/c"],
            &["t"],
            &["t/a/10", "t/a/2", "t/b/1.gz", "t/c"],
        );
    }

    #[test]
    fn files_that_are_plainly_no_logs_are_passed_over_inside_a_tree_only() {
        let files = ["t/README.md", "t/truth.json", "t/MANIFEST.json", "t/.git/config", "t/x.log"];
        let found = check(&files, &["t"], &["t/x.log"]);
        assert_eq!(found.skipped.len(), 4);
        check(&files, &["t/README.md"], &["t/README.md"]);
    }

    #[test]
    fn a_file_reached_twice_is_read_once() {
        check(&["t/a", "t/b"], &["t/b", "t", "t/../t/a"], &["t/b", "t/a"]);
    }

    #[test]
    fn a_glob_names_its_matches_and_a_glob_without_one_fails() {
        let found =
            check(&["a-1.log", "a-2.log", "b.log"], &["a-*.log", "c*"], &["a-1.log", "a-2.log"]);
        assert_eq!(found.failures.len(), 1);
        assert!(found.failures[0].message().contains("no file matches"));
    }

    #[test]
    fn a_missing_location_fails_alone() {
        let found = check(&["a"], &["missing", "a"], &["a"]);
        assert_eq!(found.failures.len(), 1);
        assert!(found.failures[0].message().contains("/missing"));
    }
}
