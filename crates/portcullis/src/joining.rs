//! Joins access logs with AWS WAF's records of the same requests, in two passes.
//!
//! AWS WAF's logs are read first, into a bounded table. Then the access logs are read,
//! and each request is joined with its record. AWS WAF's logs are read once more at the
//! end, for the records that no access log told of: those are requests of their own.

use std::io;

use portcullis_ingest::{Join, ReadOptions, Reject, Request, Sink, read_object};

use crate::location::Input;

/// AWS WAF's records of the requests that are read.
pub struct Joining {
    /// The records, by request id.
    pub table: Join,
    /// The objects they came from.
    pub inputs: Vec<Input>,
}

impl Joining {
    /// Reads the records of `inputs` into a table of at most `max_bytes`.
    pub fn read(inputs: Vec<Input>, max_bytes: usize, options: &ReadOptions) -> io::Result<Self> {
        let mut table = Join::new(max_bytes);
        for input in &inputs {
            read_object(&input.name, input.open()?, None, options, &mut Keep(&mut table));
        }
        Ok(Self { table, inputs })
    }
}

struct Keep<'t>(&'t mut Join);

impl Sink for Keep<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.0.insert(request);
    }

    fn reject(&mut self, _: &Reject<'_>) {}
}

/// What the objects of a batch are in a join.
#[derive(Debug, Clone, Copy)]
pub enum Role<'j> {
    /// Nothing is joined.
    Alone,
    /// Access logs, to be joined with the table.
    Access(&'j Join),
    /// AWS WAF's logs, of which only records without a partner count.
    Waf(&'j Join),
}

/// Objects that may be read in any order.
#[derive(Clone, Copy)]
pub struct Batch<'b> {
    /// The objects.
    pub inputs: &'b [Input],
    /// Number of the first among all objects.
    pub first: usize,
    /// What they are in the join.
    pub role: Role<'b>,
}

/// One object of a batch.
pub struct Object<'b> {
    /// Where it is read from.
    pub input: &'b Input,
    /// Its number among all objects.
    pub number: usize,
    /// What it is in the join.
    pub role: Role<'b>,
}

impl<'b> Batch<'b> {
    /// The object at that index, while there is one.
    pub fn object(&self, index: usize) -> Option<Object<'b>> {
        let input = self.inputs.get(index)?;
        Some(Object { input, number: self.first + index, role: self.role })
    }
}

/// Passes requests on as the join knows them.
pub struct Joined<'s, 'j, S> {
    /// The other sink.
    pub sink: &'s mut S,
    /// What the requests are in the join.
    pub role: Role<'j>,
}

impl<S: Sink> Sink for Joined<'_, '_, S> {
    fn request(&mut self, request: &Request<'_>) {
        match self.role {
            Role::Access(table) => self.sink.request(&table.join(request)),
            Role::Waf(table) if table.is_joined(request) => {}
            Role::Alone | Role::Waf(_) => self.sink.request(request),
        }
    }

    fn requests(&mut self, requests: &[Request<'_>]) {
        match self.role {
            Role::Alone => self.sink.requests(requests),
            Role::Access(_) | Role::Waf(_) => {
                for request in requests {
                    self.request(request);
                }
            }
        }
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.sink.reject(reject);
    }
}
