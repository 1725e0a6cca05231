//! Results that are computed once per process.
//!
//! In: the identity of a file, and how to compute a result. Out: the result. Results are
//! distinguished by their type, so that each crate can keep what it knows about files here without
//! this crate knowing of it. The tree that a program comes from and the rootfs it is packed into
//! share one memo, so the proof parses nothing again.

use std::any::{Any, TypeId};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use super::FileId;

type Answers = HashMap<(FileId, TypeId), Box<dyn Any + Send + Sync>>;

/// Results by file and type.
#[derive(Default)]
pub struct Memo(Mutex<Answers>);

impl Memo {
    /// The result of type `T` for `file`, computed if it is not known. Two threads may both compute
    /// it; their results are equal.
    ///
    /// # Errors
    /// What `compute` returns; an error is not remembered.
    pub fn remember<T, E>(
        &self,
        file: FileId,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Clone + Send + Sync + 'static,
    {
        let key = (file, TypeId::of::<T>());
        let known = self
            .lock()
            .get(&key)
            .and_then(|known| known.downcast_ref::<T>().cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let found = compute()?;
        self.lock().insert(key, Box::new(found.clone()));
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        // A thread that panicked left the map consistent: every insertion is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_different_types_about_one_file_are_kept_apart() {
        let memo = Memo::default();
        let file = FileId {
            volume: 1,
            number: 2,
        };
        let size: Result<u64, ()> = memo.remember(file, || Ok(7));
        let name: Result<String, ()> = memo.remember(file, || Ok("z".to_owned()));
        assert_eq!((size, name), (Ok(7), Ok("z".to_owned())));
        let again: Result<u64, ()> = memo.remember(file, || unreachable!("known already"));
        assert_eq!(again, Ok(7));
    }
}
