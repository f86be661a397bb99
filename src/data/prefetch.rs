//! Pictures decoded ahead of the GPU, in the order of an epoch, by all cores, into a queue of bounded size.
//!
//! The order is known beforehand, so workers take the next picture of it each, and what they made waits in its place
//! until it is asked for. A worker that is too far ahead sleeps; so does who asks for a picture that is not ready.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::error::DataError;

/// Bytes of pictures that wait to be asked for, at most.
const AHEAD: usize = 128 << 20;

/// Makes the picture at a place of the order.
type Make = Box<dyn Fn(usize) -> Result<Vec<u8>, DataError> + Send + Sync>;

/// The pictures of a pass, in order.
pub struct Prefetch {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    make: Make,
    queue: Mutex<Queue>,
    /// A picture is ready.
    ready: Condvar,
    /// There is room in the queue, or nothing more to do.
    room: Condvar,
}

struct Queue {
    /// The next place that a worker takes.
    next: usize,
    /// The place behind the last.
    end: usize,
    /// Most pictures that wait.
    ahead: usize,
    /// Pictures from the one asked for next to the last one taken by a worker; `None` while it is in work.
    waiting: VecDeque<Option<Result<Vec<u8>, DataError>>>,
}

impl fmt::Debug for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Prefetch {
    /// Begins to make the pictures of places `from..end`, of `bytes` bytes each.
    pub fn new(
        from: usize,
        end: usize,
        bytes: usize,
        make: impl Fn(usize) -> Result<Vec<u8>, DataError> + Send + Sync + 'static,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ahead = (AHEAD / bytes.max(1)).max(2 * cores);
        let queue = Queue { next: from, end, ahead, waiting: VecDeque::new() };
        let shared =
            Shared { make: Box::new(make), queue: Mutex::new(queue), ready: Condvar::new(), room: Condvar::new() };
        let shared = Arc::new(shared);
        let work = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work())
        };
        let workers = (0..cores.min(end.saturating_sub(from))).map(work).collect();
        Self { shared, workers }
    }

    /// The next picture in order. Waits until it is ready.
    ///
    /// # Errors
    /// Whatever made it impossible to make.
    ///
    /// # Panics
    /// If all of them have been given.
    pub fn take(&mut self) -> Result<Vec<u8>, DataError> {
        let mut queue = self.shared.lock();
        loop {
            match queue.waiting.front() {
                Some(Some(_)) => break,
                None if queue.next >= queue.end => panic!("a pass has no more pictures than its order"),
                _ => queue = self.shared.ready.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let picture = queue.waiting.pop_front().flatten().expect("it was there");
        drop(queue);
        self.shared.room.notify_one();
        picture
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.end = queue.next;
        drop(queue);
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of decoders, so none ends with one.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(place) = self.claim() {
            let made = catch_unwind(AssertUnwindSafe(|| (self.make)(place)));
            let made = made.unwrap_or(Err(DataError::Decoder { place }));
            let mut queue = self.lock();
            // The last of `waiting` belongs to the place before `next`.
            let behind = queue.next - place;
            if let Some(index) = queue.waiting.len().checked_sub(behind) {
                queue.waiting[index] = Some(made);
            }
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// The next place to work on, once there is room for it; `None` if there is none.
    fn claim(&self) -> Option<usize> {
        let mut queue = self.lock();
        loop {
            if queue.next >= queue.end {
                return None;
            }
            if queue.waiting.len() < queue.ahead {
                queue.waiting.push_back(None);
                queue.next += 1;
                return Some(queue.next - 1);
            }
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn pictures_come_in_order_however_long_each_takes() {
        let made = |place: usize| {
            (0..(place * 7919) % 13).for_each(|_| std::thread::yield_now());
            Ok(vec![place as u8; 3])
        };
        let mut pictures = Prefetch::new(5, 200, 3, made);
        for place in 5..200 {
            assert_eq!(pictures.take().unwrap(), [place as u8; 3]);
        }
    }

    #[test]
    fn an_error_or_a_panic_comes_in_its_place() {
        let made = |place: usize| match place {
            3 => Err(DataError::UnknownDataset { name: "x".into() }),
            5 => panic!("a decoder's defect"),
            _ => Ok(vec![place as u8]),
        };
        let mut pictures = Prefetch::new(0, 8, 1, made);
        let all: Vec<_> = (0..8).map(|_| pictures.take()).collect();
        for (place, picture) in all.iter().enumerate() {
            assert_eq!(picture.is_err(), place == 3 || place == 5, "{place}");
        }
    }

    #[test]
    fn no_more_is_made_ahead_than_there_is_room_for() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let bytes = AHEAD / 64;
        let made = move |_: usize| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(vec![0])
        };
        let mut pictures = Prefetch::new(0, 100_000, bytes, made);
        for _ in 0..10 {
            pictures.take().unwrap();
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        drop(pictures);
        assert!(count.load(Ordering::Relaxed) <= 10 + 64.max(2 * cores));
    }

    #[test]
    fn a_pass_that_is_given_up_ends() {
        drop(Prefetch::new(0, 1_000_000, 1, |_| Ok(vec![0])));
        drop(Prefetch::new(7, 7, 1, |_| Ok(vec![0])));
    }
}
