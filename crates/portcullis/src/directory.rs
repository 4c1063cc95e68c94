//! A directory of Parquet that is there whole or not at all.
//!
//! Whoever reads an export reads whatever files match: half of one would answer questions,
//! wrongly. So everything is written into a hidden directory beside the place, the manifest
//! last, and renamed when all of it is on the disk. A run that is killed leaves that directory
//! behind. A lock in it, which the system lets go with its holder, tells the next run so, and
//! that removes it.
//!
//! Requests come in the order of the logs and lie by hour. Each hour's rows wait in memory
//! until there are enough for a row group; when all hours together hold too many, the
//! fullest is written first. How much memory an export takes does not depend on how much
//! there is to export.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use portcullis_aws::disk;
use portcullis_columns::{Parquet, REQUESTS, Schema, Table};
use portcullis_ingest::Timestamp;

use crate::ordered::Take;
use crate::pipeline::Hours;

/// The file that says what an export holds.
pub const MANIFEST: &str = "manifest.json";

/// The file that is locked while an export is being written.
const LOCK: &str = "lock";

/// What the manifest says that it is of.
pub const KIND: &str = "portcullis-export";

/// Bytes of rows that make a row group.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Bytes of rows that wait, of all hours together.
const WAITING_BYTES: usize = 64 << 20;

/// Files of requests that are open at once. Systems allow 256 at the least.
const OPEN_FILES: usize = 48;

/// What Hive, DuckDB, Athena and Spark call the partition of what has no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// What was written of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The name of the table.
    pub table: &'static str,
    /// Rows in all its files.
    pub rows: u64,
    /// How many files those are.
    pub files: u64,
}

/// An export being written.
pub struct Directory {
    place: PathBuf,
    unfinished: PathBuf,
    /// Held until the directory is renamed or removed.
    lock: File,
    hours: BTreeMap<Option<i64>, Hour>,
    waiting_bytes: usize,
    /// Row groups written so far, to know which file was not written to for longest.
    written: u64,
    tables: Vec<Written>,
    bytes: u64,
}

/// The requests of one hour.
struct Hour {
    waiting: Option<Table>,
    file: Option<Parquet<BufWriter<File>>>,
    files: u64,
    /// When it was written to last, in row groups.
    last_written: u64,
}

impl Directory {
    /// Begins an export that will lie at `place`, which is free, empty, or an earlier one.
    pub fn begin(place: &Path) -> io::Result<Self> {
        if !is_free(place)? && !is_export(place) {
            let detail = "it exists and holds something other than an export";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, detail));
        }
        // A link stays, and what it names is replaced.
        let place = disk::behind_links(place)?;
        remove_killed(&place)?;
        let unfinished = beside(&place, &format!("{UNFINISHED}{}", std::process::id()))?;
        fs::create_dir_all(&unfinished)?;
        let lock = File::create(unfinished.join(LOCK))?;
        lock.lock()?;
        if let Ok(earlier) = fs::metadata(&place) {
            fs::set_permissions(&unfinished, earlier.permissions())?;
        }
        Ok(Self {
            place,
            unfinished,
            lock,
            hours: BTreeMap::new(),
            waiting_bytes: 0,
            written: 0,
            tables: vec![Written { table: REQUESTS.table, rows: 0, files: 0 }],
            bytes: 0,
        })
    }

    /// Every table written so far, in order.
    pub fn tables(&self) -> &[Written] {
        &self.tables
    }

    /// Size of all files that are whole.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the requests that still wait, and ends their files.
    pub fn end_requests(&mut self) -> io::Result<()> {
        if self.hours.is_empty() {
            // Whoever reads the table finds one without rows, and not none.
            let nothing = Table::new(&REQUESTS);
            self.take(Hours::from([(None, nothing)]))?;
        }
        let hours: Vec<_> = self.hours.keys().copied().collect();
        for hour in hours {
            self.write(hour)?;
            self.close(hour)?;
        }
        self.tables[0].files = self.hours.values().map(|hour| hour.files).sum();
        Ok(())
    }

    /// Writes a table whole.
    pub fn table(&mut self, schema: &'static Schema, table: &Table) -> io::Result<()> {
        let path = self.unfinished.join(schema.table).join("part-0.parquet");
        let mut file = Parquet::new(schema, create(&path)?)?;
        file.row_group(table)?;
        self.bytes += end(file)?;
        self.tables.push(Written { table: schema.table, rows: table.rows() as u64, files: 1 });
        Ok(())
    }

    /// Writes a file beside the tables.
    pub fn file(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.unfinished.join(name))?;
        file.write_all(contents)?;
        file.sync_all()?;
        self.bytes += contents.len() as u64;
        Ok(())
    }

    /// Puts what was written where it is to be.
    pub fn finish(self) -> io::Result<()> {
        drop(self.lock);
        fs::remove_file(self.unfinished.join(LOCK))?;
        let earlier = beside(&self.place, &format!("earlier-{}", std::process::id()))?;
        if is_export(&self.place) {
            fs::rename(&self.place, &earlier)?;
        } else if self.place.exists() {
            fs::remove_dir(&self.place)?;
        }
        fs::rename(&self.unfinished, &self.place)?;
        if earlier.exists() {
            fs::remove_dir_all(earlier)?;
        }
        // The new name is on the disk when the directory above is.
        let above = self.place.parent().filter(|above| *above != Path::new(""));
        if cfg!(unix) { File::open(above.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
    }

    /// Removes what was written.
    pub fn abandon(self) {
        drop(self.lock);
        // Nothing more can be done about a disk that fails, and it has been told of.
        let _ = fs::remove_dir_all(self.unfinished);
    }

    /// Writes the rows of an hour that wait, as a row group.
    fn write(&mut self, key: Option<i64>) -> io::Result<()> {
        let open = self.hours.values().filter(|hour| hour.file.is_some()).count();
        if open >= OPEN_FILES {
            let idle = self.hours.iter().filter(|(_, hour)| hour.file.is_some());
            let idlest = idle.min_by_key(|(_, hour)| hour.last_written).map(|(key, _)| *key);
            if let Some(idlest) = idlest.filter(|idlest| *idlest != key) {
                self.close(idlest)?;
            }
        }
        let Some(hour) = self.hours.get_mut(&key) else { return Ok(()) };
        let Some(rows) = hour.waiting.take() else { return Ok(()) };
        let file = match &mut hour.file {
            Some(file) => file,
            none => {
                let name = format!("part-{}.parquet", hour.files);
                let path = self.unfinished.join(REQUESTS.table).join(partition(key)).join(name);
                hour.files += 1;
                none.insert(Parquet::new(&REQUESTS, create(&path)?)?)
            }
        };
        file.row_group(&rows)?;
        self.written += 1;
        hour.last_written = self.written;
        self.waiting_bytes -= rows.bytes();
        self.tables[0].rows += rows.rows() as u64;
        Ok(())
    }

    /// Ends the file of an hour that is open, if any. Rows that still come begin another.
    fn close(&mut self, key: Option<i64>) -> io::Result<()> {
        if let Some(file) = self.hours.get_mut(&key).and_then(|hour| hour.file.take()) {
            self.bytes += end(file)?;
        }
        Ok(())
    }
}

impl Take<Hours> for Directory {
    fn take(&mut self, batch: Hours) -> io::Result<()> {
        for (key, rows) in batch {
            let hour = self.hours.entry(key).or_insert_with(Hour::new);
            self.waiting_bytes += rows.bytes();
            match &mut hour.waiting {
                Some(waiting) => waiting.append(&rows),
                none => *none = Some(rows),
            }
            if hour.waiting_bytes() >= ROW_GROUP_BYTES {
                self.write(key)?;
            }
        }
        while self.waiting_bytes > WAITING_BYTES {
            let fullest = self.hours.iter().max_by_key(|(_, hour)| hour.waiting_bytes());
            let fullest = *fullest.expect("what waits, waits for some hour").0;
            self.write(fullest)?;
        }
        Ok(())
    }

    fn object_ends(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Hour {
    fn new() -> Self {
        Self { waiting: None, file: None, files: 0, last_written: 0 }
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, Table::bytes)
    }
}

/// Where the requests of an hour lie.
fn partition(hour: Option<i64>) -> PathBuf {
    let time = hour.and_then(|hour| Timestamp::from_epoch_ms(hour * 3_600_000));
    let text = time.map(|time| time.to_string());
    let parts = text.as_deref().and_then(|text| Some((text.get(..10)?, text.get(11..13)?)));
    let (date, hour) = parts.unwrap_or((NO_VALUE, NO_VALUE));
    Path::new(&format!("date={date}")).join(format!("hour={hour}"))
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    fs::create_dir_all(path.parent().expect("a file is in a directory"))?;
    Ok(BufWriter::new(File::create(path)?))
}

/// Ends a file, and gives its size when it is on the disk.
fn end(file: Parquet<BufWriter<File>>) -> io::Result<u64> {
    let file = file.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Whether nothing is there, or an empty directory.
fn is_free(place: &Path) -> io::Result<bool> {
    match fs::read_dir(place) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether an earlier export is there.
fn is_export(place: &Path) -> bool {
    let manifest = fs::read(place.join(MANIFEST)).unwrap_or_default();
    let manifest: Option<serde_json::Value> = serde_json::from_slice(&manifest).ok();
    manifest.is_some_and(|manifest| manifest["kind"] == KIND)
}

/// What stands before the number of the process in the name of what it is writing.
const UNFINISHED: &str = "unfinished-";

/// Removes what killed runs left of exports to `place`; what a run is at work on is locked.
fn remove_killed(place: &Path) -> io::Result<()> {
    let ours = beside(place, UNFINISHED)?;
    let (Some(folder), Some(ours)) = (ours.parent(), ours.file_name()) else { return Ok(()) };
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    // Where nobody may look, nothing can be removed, and writing will say what is amiss.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(ours.as_encoded_bytes()) {
            continue;
        }
        let lock = File::options().write(true).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A hidden name beside `place`.
fn beside(place: &Path, what: &str) -> io::Result<PathBuf> {
    let name = place.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "its last part is no name of a directory")
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{what}"));
    Ok(place.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_its_place_and_so_has_no_time() {
        let time = Timestamp::parse_rfc3339(b"2026-03-02T09:15:00Z").expect("a time");
        let hour = time.epoch_ms() / 3_600_000;
        assert_eq!(partition(Some(hour)), Path::new("date=2026-03-02/hour=09"));
        let none = Path::new("date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(partition(None), none);
    }
}
