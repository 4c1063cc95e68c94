//! Records that were delivered twice, told from others while many threads read.
//!
//! What a record added to a scan cannot be taken out again, and looking each one up before
//! it is counted would make all threads wait for one table. But twins are rare. So an
//! object is read by itself without the records that `hints` takes for twins, the identities
//! of all its records are gathered, and afterwards they are looked up at once. Only when the
//! hints were wrong is the object read again, without the twins it has.
//!
//! Which of two twins counts must not depend on which thread was faster: objects are looked
//! up in their order, and one that is read before its turn waits, without its thread. The
//! identities kept are those of the last records, so many as fit; of twins further apart
//! both count, and how far apart that is is known.

mod hints;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hint::black_box;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use portcullis_detection::Identities;

use hints::Hints;

/// Bytes of memory for each identity kept: in a table, and in the order of coming.
const BYTES_EACH: u64 = 32;

/// The share of the memory that identities may take.
const SHARE: u64 = 16;

/// Identities that are looked up before the first of them is taken in.
const AT_ONCE: usize = 16;

/// Objects that may wait for their turn, for each thread. Beyond, threads wait too.
const WAITING_EACH: usize = 2;

/// The share of the memory that what was read of them may take. Beyond, threads wait too.
const WAITING_SHARE: u64 = 16;

/// Identities of the records that were read last.
pub struct Duplicates<Finished> {
    state: Mutex<State<Finished>>,
    hints: Hints,
    turned: Condvar,
    most_waiting: usize,
    most_waiting_bytes: usize,
}

struct State<Finished> {
    window: Window,
    /// The number of the object whose turn it is.
    next: usize,
    waiting: BTreeMap<usize, (Finished, usize, Identities)>,
    /// Of what waits.
    waiting_bytes: usize,
    /// Whether a thread panicked, so that its object never comes.
    broken: bool,
}

/// An object whose turn has come.
pub struct Due<Finished> {
    /// Its number.
    pub number: usize,
    /// What reading it gave.
    pub finished: Finished,
    /// Those of its records, by their place in [`Identities`], that are twins of earlier
    /// ones; sorted. If others were left out of it, it is to be read again without these.
    pub twins: Vec<usize>,
    /// Its other records.
    pub identities: Vec<u64>,
}

impl<Finished> Duplicates<Finished> {
    /// For a reading on so many threads, that may take so much memory. `known` are the
    /// identities of earlier readings, the oldest first.
    pub fn new(threads: usize, memory: u64, known: impl IntoIterator<Item = u64>) -> Self {
        let most = usize::try_from(memory / SHARE / BYTES_EACH).unwrap_or(usize::MAX).max(1_024);
        let mut window = Window { most, ..Window::default() };
        let hints = Hints::default();
        let known: Vec<u64> = known.into_iter().inspect(|known| hints.note(*known, 0)).collect();
        window.told_apart(&known);
        let waiting = BTreeMap::new();
        let state = State { window, next: 0, waiting, waiting_bytes: 0, broken: false };
        Self {
            state: Mutex::new(state),
            hints,
            turned: Condvar::new(),
            most_waiting: WAITING_EACH * threads.max(1),
            most_waiting_bytes: usize::try_from(memory / WAITING_SHARE).unwrap_or(usize::MAX),
        }
    }

    /// How many identities of one object are looked up; so large an object fills the memory
    /// for them by itself.
    pub fn most(&self) -> usize {
        self.lock().window.most
    }

    /// Says of some records of the object of that number whether each is likely to be the twin
    /// of an earlier one. To be asked for all records that have an identity, in their order.
    pub fn guess(&self, number: usize, identities: &[u64], twins: &mut [bool]) {
        self.hints.were_noted(identities, number, twins);
    }

    /// Takes in an object that was read, to something of so many bytes, and gives those whose
    /// turn has come: none, when one before it is still being read.
    pub fn finish(
        &self,
        number: usize,
        finished: Finished,
        bytes: usize,
        identities: Identities,
    ) -> Vec<Due<Finished>> {
        let bytes = bytes + size_of_val(&identities.0[..]);
        let mut state = self.lock();
        // The object whose turn it is never waits, so somebody always goes on.
        while number != state.next && self.is_full(&state, bytes) && !state.broken {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.insert(number, (finished, bytes, identities));
        state.waiting_bytes += bytes;
        let mut due = Vec::new();
        let State { window, next, waiting, waiting_bytes, .. } = &mut *state;
        while let Some((finished, bytes, Identities(identities))) = waiting.remove(next) {
            *waiting_bytes -= bytes;
            let (twins, identities) = window.told_apart(&identities);
            due.push(Due { number: *next, finished, twins, identities });
            *next += 1;
        }
        if !due.is_empty() {
            self.turned.notify_all();
        }
        due
    }

    /// Whether there is no room for so many bytes more to wait.
    fn is_full(&self, state: &State<Finished>, bytes: usize) -> bool {
        state.waiting.len() >= self.most_waiting
            || state.waiting_bytes + bytes > self.most_waiting_bytes
    }

    /// To be held while an object is read: if that panics, nobody waits for it.
    pub fn reading(&self) -> impl Drop + '_ {
        Reading(self)
    }

    fn lock(&self) -> MutexGuard<'_, State<Finished>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reading<'d, Finished>(&'d Duplicates<Finished>);

impl<Finished> Drop for Reading<'_, Finished> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.turned.notify_all();
        }
    }
}

/// The identities of the last records.
#[derive(Debug, Default)]
struct Window {
    most: usize,
    known: HashSet<u64, foldhash::fast::RandomState>,
    /// By object, the oldest first.
    order: VecDeque<Vec<u64>>,
}

impl Window {
    /// Takes identities in, those of the oldest objects out, and gives the places of the twins
    /// and the others.
    fn told_apart(&mut self, identities: &[u64]) -> (Vec<usize>, Vec<u64>) {
        let (mut twins, mut others) = (Vec::new(), Vec::with_capacity(identities.len()));
        self.known.reserve(identities.len());
        for (some, first) in identities.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
            self.look_up(some);
            for (identity, place) in some.iter().zip(first..) {
                if self.known.insert(*identity) {
                    others.push(*identity);
                } else {
                    twins.push(place);
                }
            }
        }
        self.order.push_back(others.clone());
        while self.known.len() > self.most
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
        {
            for some in oldest.chunks(AT_ONCE) {
                self.look_up(some);
                for identity in some {
                    self.known.remove(identity);
                }
            }
        }
        (twins, others)
    }

    /// Looks identities up that are about to be taken in or out: memory answers looks all at
    /// once, but waits for one change before the next.
    fn look_up(&self, identities: &[u64]) {
        black_box(identities.iter().filter(|identity| self.known.contains(identity)).count());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn alone(objects: &[Vec<u64>]) -> Vec<(usize, Vec<usize>)> {
        let duplicates = Duplicates::new(1, 1 << 30, []);
        let finish = |(number, identities): (usize, &Vec<u64>)| {
            duplicates.finish(number, (), 0, Identities(identities.clone()))
        };
        let due = objects.iter().enumerate().flat_map(finish);
        due.map(|due| (due.number, due.twins)).collect()
    }

    #[test]
    fn the_first_of_two_counts_within_an_object_and_across() {
        let objects = [vec![1, 2, 1], vec![3, 2], vec![4]];
        assert_eq!(alone(&objects), [(0, vec![2]), (1, vec![1]), (2, vec![])]);
    }

    #[test]
    fn what_earlier_readings_knew_is_known_and_what_is_long_ago_is_not() {
        let known = Duplicates::new(1, 1 << 30, [7, 8]);
        assert_eq!(known.finish(0, (), 0, Identities(vec![8, 9]))[0].twins, [0]);
        let small = Duplicates::new(1, 0, []);
        small.finish(0, (), 0, Identities(vec![1, 2]));
        small.finish(1, (), 0, Identities((100..1_124).collect()));
        let last = small.finish(2, (), 0, Identities(vec![1, 100]));
        assert_eq!(last[0].twins, [1], "1 is more than 1,024 records ago");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn threads_find_what_one_finds(
            objects in prop::collection::vec(prop::collection::vec(0..30_u64, 0..6), 1..40),
            threads in 2..6_usize,
            // From what always may wait to what never may.
            bytes in prop::sample::select(vec![0, 50_000, 1_000_000]),
        ) {
            let duplicates = Duplicates::new(threads, 1 << 20, []);
            let next = AtomicUsize::new(0);
            let mut found = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| {
                    let mut found = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(object) = objects.get(number) else { return found };
                        let due = duplicates.finish(number, (), bytes, Identities(object.clone()));
                        found.extend(due.into_iter().map(|due| (due.number, due.twins)));
                    }
                })).collect();
                let done = workers.into_iter().map(|worker| worker.join().expect("no panic"));
                done.flatten().collect::<Vec<_>>()
            });
            found.sort();
            prop_assert_eq!(found, alone(&objects));
        }
    }
}
