//! The functions of a scan for Python: tasks that map, tasks that decide, and what puts the
//! result together.
//!
//! Nothing is decided here. The tasks are those of `portcullis-detection`, which know no
//! engine; this module turns Python's lists of bytes into theirs. Python's lock is released
//! while an object is read. Whatever goes wrong, a panic included, becomes an exception that
//! says where, so that a task fails and nothing else.

mod settings;
mod twins;

use std::fmt::Display;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use portcullis_detection::document::{Assembly, Part, json::Secrets, keep_parts, write_document};
use portcullis_detection::{Findings, MapTask, ReduceTask};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::settings::{Settings, agreed, settings};

/// A part as Python has it: its kind, whether it is set aside, its JSON.
type PyPart = (String, bool, String);

/// Many texts of bytes, for Python.
type Bytes<'py> = Vec<Bound<'py, PyBytes>>;

fn wrong(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Runs what may panic; a panic is our mistake and named as such.
fn guarded<T>(doing: &str, work: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        PyRuntimeError::new_err(format!(
            "portcullis panicked {doing}: {text}; this is a mistake in it, please report it"
        ))
    })
}

/// Checks settings, and gives the digest that every worker must come to.
#[pyfunction]
fn digest(settings_text: &str) -> PyResult<String> {
    let settings = guarded("reading settings", || settings(settings_text))?.map_err(wrong)?;
    Ok(settings.digest.clone())
}

/// The settings of a text, which must come to the digest.
fn agreed_settings(settings_text: &str, digest: &str) -> PyResult<&'static Settings> {
    guarded("reading settings", || agreed(settings_text, digest))?.map_err(wrong)
}

/// A Python object with `read(size)`, read as Rust reads.
struct FromPython(Py<PyAny>);

impl Read for FromPython {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let bytes = self.0.bind(py).call_method1("read", (buffer.len(),));
            let bytes = bytes.map_err(|error| io::Error::other(error.to_string()))?;
            let bytes: &[u8] =
                bytes.extract().map_err(|_| io::Error::other("read() gave no bytes"))?;
            let place = buffer.get_mut(..bytes.len());
            let place = place.ok_or_else(|| io::Error::other("read() gave more than was asked"))?;
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }
}

/// Reads objects into rows.
#[pyclass(unsendable)]
struct Map {
    task: MapTask<'static>,
}

#[pymethods]
impl Map {
    #[new]
    fn new(settings_text: &str, digest: &str) -> PyResult<Self> {
        let Settings { rules, reading, .. } = agreed_settings(settings_text, digest)?;
        Ok(Self { task: MapTask::new(rules, reading) })
    }

    /// Reads one object from something with `read(size)`, or notes why it cannot be opened.
    /// Records at those places are left out.
    #[pyo3(signature = (name, source, error, left_out))]
    fn object(
        &mut self,
        py: Python<'_>,
        name: &str,
        source: Option<Py<PyAny>>,
        error: Option<String>,
        left_out: Vec<usize>,
    ) -> PyResult<()> {
        let input = source.map(FromPython).ok_or_else(|| error.unwrap_or_default());
        let task = &mut self.task;
        let doing = format!("reading {name}");
        py.detach(|| guarded(&doing, || task.object(name, input, &left_out)))
    }

    /// Bytes that are kept.
    fn kept_bytes(&self) -> usize {
        self.task.kept_bytes()
    }

    /// Takes everything out: keys and states, in the same order.
    fn drain<'py>(&mut self, py: Python<'py>) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
        let rows = guarded("draining", || self.task.drain())?;
        Ok(rows.iter().map(|(key, state)| (PyBytes::new(py, key), PyBytes::new(py, state))).unzip())
    }
}

/// Merges rows and decides.
#[pyclass(unsendable)]
struct Reduce {
    task: Option<ReduceTask<'static>>,
}

fn python_parts(parts: Vec<Part>) -> Vec<PyPart> {
    let python = |part: Part| (part.kind.name().to_owned(), part.set_aside, part.text);
    parts.into_iter().map(python).collect()
}

impl Reduce {
    fn task(&mut self) -> PyResult<&mut ReduceTask<'static>> {
        self.task.as_mut().ok_or_else(|| wrong("the task is finished"))
    }
}

#[pymethods]
impl Reduce {
    /// Decides whenever that many bytes are kept.
    #[new]
    fn new(settings_text: &str, digest: &str, kept_bytes: usize) -> PyResult<Self> {
        let Settings { rules, reading, .. } = agreed_settings(settings_text, digest)?;
        let task = ReduceTask::new(rules, reading.set_aside, kept_bytes);
        Ok(Self { task: Some(task) })
    }

    /// Takes rows in, sorted by key.
    fn push(&mut self, keys: Bytes<'_>, states: Bytes<'_>) -> PyResult<()> {
        if keys.len() != states.len() {
            return Err(wrong(format!("{} keys and {} states", keys.len(), states.len())));
        }
        let task = self.task()?;
        let mut rows = keys.iter().zip(&states);
        let merge =
            || rows.try_for_each(|(key, state)| task.push(key.as_bytes(), state.as_bytes()));
        guarded("merging", merge)?.map_err(wrong)
    }

    /// What was decided so far.
    fn take(&mut self) -> PyResult<Vec<PyPart>> {
        Ok(python_parts(self.task()?.take()))
    }

    /// Decides about the rest.
    fn finish(&mut self) -> PyResult<Vec<PyPart>> {
        let task = self.task.take().ok_or_else(|| wrong("the task is finished"))?;
        Ok(python_parts(guarded("deciding", || task.finish())?))
    }
}

/// Puts parts together, and accepts the whole or refuses it.
#[pyclass(unsendable)]
struct Whole {
    assembly: Option<Assembly>,
    set_aside: bool,
    accepted: Option<Findings>,
}

impl Whole {
    fn assembly(&mut self) -> PyResult<&mut Assembly> {
        self.assembly.as_mut().ok_or_else(|| wrong("it is put together already"))
    }

    fn accepted(&self) -> PyResult<&Findings> {
        self.accepted.as_ref().ok_or_else(|| wrong("it is not accepted"))
    }
}

#[pymethods]
impl Whole {
    /// Of findings in which incomplete objects are set aside, or are not.
    #[new]
    fn new(set_aside: bool) -> Self {
        Self { assembly: Some(Assembly::new(set_aside)), set_aside, accepted: None }
    }

    /// Takes parts in.
    fn push(&mut self, parts: Vec<PyPart>) -> PyResult<()> {
        let assembly = self.assembly()?;
        let mut parts = parts.iter();
        let take = || parts.try_for_each(|(kind, aside, text)| assembly.push(kind, *aside, text));
        guarded("taking parts in", take)?.map_err(wrong)
    }

    /// Accepts the findings when every listed object was read once and the sums agree; an
    /// error that names what differs otherwise.
    fn accept(&mut self, listed: Vec<String>) -> PyResult<()> {
        let assembly = std::mem::take(self.assembly()?);
        self.assembly = None;
        let unlike = assembly.unlike(listed.iter().map(String::as_str));
        if !unlike.is_empty() {
            let more = unlike.len().saturating_sub(NAMES_SHOWN);
            let first = unlike[..unlike.len() - more].join(", ");
            return Err(wrong(format!("listed and not read once: {first} and {more} more")));
        }
        let mut findings = guarded("assembling", || assembly.finish(listed.len() as u64))?;
        findings.accept().map_err(|wrong_ones| {
            let lines: Vec<String> = wrong_ones.iter().map(ToString::to_string).collect();
            wrong(format!("the result does not add up and is refused: {}", lines.join("; ")))
        })?;
        if !self.set_aside {
            // No plan may stand on it, so it carries nothing that says it could.
            findings.audit = None;
        }
        self.accepted = Some(findings);
        Ok(())
    }

    /// What was accepted, as the program prints it.
    fn document<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut text = Vec::new();
        write_document(&mut text, self.accepted()?, None, Secrets::Hidden);
        text.push(b'\n');
        Ok(PyBytes::new(py, &text))
    }

    /// What was accepted, as rows that a plan is made of: kinds and documents.
    fn rows(&self) -> PyResult<(Vec<&'static str>, Vec<String>)> {
        let parts = keep_parts(self.accepted()?, Secrets::Hidden);
        let parts = parts.ok_or_else(|| {
            wrong("rows are for a plan, and none may stand on findings without for_plan")
        })?;
        Ok(parts.into_iter().map(|part| (part.kind.name(), part.text)).unzip())
    }
}

/// Most names in a message.
const NAMES_SHOWN: usize = 5;

/// Panics as a mistake in the module would, for the tests of what becomes of that.
#[cfg(feature = "mistakes")]
#[pyfunction]
fn panic(words: &str) -> PyResult<()> {
    guarded("on purpose", || panic!("{words}"))
}

/// The native part of `portcullis_spark`.
#[pymodule(name = "_native")]
mod native {
    #[cfg(feature = "mistakes")]
    #[pymodule_export]
    use super::panic;
    #[pymodule_export]
    use super::twins::{Identities, Twins};
    #[pymodule_export]
    use super::{Map, Reduce, Whole, digest};
}
