//! Symbol lookup over a closure: the global scope (`_dl_relocate_object` in glibc, `do_relocs`
//! in musl).
//!
//! In: what each object refers to and what the objects of the scope define. Out: strong
//! references that nothing satisfies, each with how it binds, and needed libraries that are
//! unused.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{Binder, BindingError, has_versions, of};
use crate::closure::{Closure, Request};
use crate::{FoundVia, Objects};
use slimpack_elf::{Binding, Definitions, DependencyKind, Reference, References, Versions};

/// In a scope of more objects, symbols are looked up by name, because the number of pairs grows
/// quadratically.
const MANY: usize = 256;

/// An unresolved reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Index of the object that refers to it.
    pub needer: usize,
    /// The symbol and its version.
    pub reference: Reference,
    /// Whether the program fails at startup; otherwise it fails when the symbol is first called.
    pub fails_at_load: bool,
}

/// A needed library none of whose symbols are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Index of the object that names it.
    pub needer: usize,
    /// The name in `DT_NEEDED`.
    pub name: OsString,
}

/// One bit for each reference of an object.
#[derive(Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn of(count: usize, mut is_set: impl FnMut(usize) -> bool) -> Self {
        let mut words = vec![0; count.div_ceil(64)];
        for number in (0..count).filter(|&number| is_set(number)) {
            words[number / 64] |= 1 << (number % 64);
        }
        Self(words)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn contains(&self, number: usize) -> bool {
        self.0[number / 64] & (1 << (number % 64)) != 0
    }

    /// Clears the bits of `other`; returns whether any of them was set.
    fn take(&mut self, other: &Self) -> bool {
        let mut any = false;
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            any |= *word & other != 0;
            *word &= !other;
        }
        any
    }
}

/// What an object defines, and its versions where they are checked.
type Exports<'c> = (&'c Definitions, Option<&'c Versions>);

/// A scope in which each symbol is looked up once, whichever object refers to it.
struct Firsts<'c> {
    scope: &'c [usize],
    exports: Vec<Exports<'c>>,
    /// The first place in the scope that satisfies a reference, by its name and version.
    known: HashMap<(&'c OsStr, Option<&'c OsStr>), Option<usize>>,
}

impl<'c> Firsts<'c> {
    /// The objects whose symbols `needer` uses.
    fn used(&mut self, references: &'c References, needer: usize) -> HashSet<usize> {
        let references = references.symbols.iter();
        references
            .filter_map(|reference| self.first(needer, reference))
            .collect()
    }

    /// The first object, apart from `needer`, that satisfies a reference.
    fn first(&mut self, needer: usize, reference: &'c Reference) -> Option<usize> {
        let Self {
            scope,
            exports,
            known,
        } = self;
        let search = |from: usize| {
            let mut rest = exports.get(from..)?.iter();
            let found =
                rest.position(|(exports, versions)| exports.satisfies(reference, *versions));
            found.map(|place| from + place)
        };
        let key = (&*reference.name, reference.version.as_deref());
        let place = (*known.entry(key).or_insert_with(|| search(0)))?;
        match scope[place] == needer {
            true => search(place + 1).map(|place| scope[place]),
            false => Some(scope[place]),
        }
    }
}

impl Binder<'_> {
    /// The strong references of all objects that nothing in the scope satisfies. If libraries
    /// are missing, their definitions are unknown, and the result is empty.
    ///
    /// # Errors
    /// When a symbol table cannot be read.
    pub fn unresolved(&self, closure: &Closure) -> Result<Vec<Unresolved>, BindingError> {
        let mut unresolved = Vec::new();
        if closure.rules.is_none() || !closure.is_complete() {
            return Ok(unresolved);
        }
        let binds_lazily = has_versions(closure);
        let mut direct = vec![Vec::new(); closure.map.objects().len()];
        for edge in &closure.edges {
            direct[edge.requester].extend(edge.target);
        }
        for (needer, object) in closure.map.objects().iter().enumerate() {
            // The interpreter has already relocated itself.
            if object.via == FoundVia::Interpreter {
                continue;
            }
            let references = self.references(closure, needer)?;
            let mut open = Bits::of(references.symbols.len(), |number| {
                let reference = &references.symbols[number];
                !reference.is_weak && reference.binding != Binding::Copy
            });
            // Any definition in the scope will do, so the likely objects come first.
            for &provider in direct[needer].iter().chain(&closure.scope) {
                if open.is_empty() {
                    break;
                }
                if provider != needer {
                    open.take(self.satisfied(closure, needer, provider)?.as_ref());
                }
            }
            let binds_now = object
                .object
                .dynamic
                .as_ref()
                .is_some_and(|dynamic| dynamic.binds_now());
            for (number, reference) in references.symbols.iter().enumerate() {
                if open.contains(number) {
                    unresolved.push(Unresolved {
                        needer,
                        reference: reference.clone(),
                        fails_at_load: !binds_lazily
                            || binds_now
                            || reference.binding == Binding::Now,
                    });
                }
            }
        }
        Ok(unresolved)
    }

    /// The unused entries of `DT_NEEDED`: every reference of the object is satisfied by something
    /// that precedes the library in the scope, or not at all.
    ///
    /// # Errors
    /// When a symbol table cannot be read.
    pub fn unused(&self, closure: &Closure) -> Result<Vec<Unused>, BindingError> {
        let mut unused = Vec::new();
        let needed = Request::Dependency(DependencyKind::Needed);
        let mut edges = vec![Vec::new(); closure.map.objects().len()];
        for edge in closure.edges.iter().filter(|edge| edge.request == needed) {
            edges[edge.requester].push(edge);
        }
        let mut firsts = match closure.scope.len() > MANY {
            true => Some(self.firsts(closure)?),
            false => None,
        };
        for (needer, object) in closure.map.objects().iter().enumerate() {
            if object.via == FoundVia::Interpreter || edges[needer].is_empty() {
                continue;
            }
            let used = match &mut firsts {
                Some(firsts) => firsts.used(self.references(closure, needer)?, needer),
                None => self.used(closure, needer)?,
            };
            for edge in &edges[needer] {
                if edge.target.is_some_and(|target| !used.contains(&target)) {
                    unused.push(Unused {
                        needer,
                        name: edge.name.clone(),
                    });
                }
            }
        }
        Ok(unused)
    }

    /// The objects whose symbols `needer` uses: the first one that satisfies each reference.
    fn used(&self, closure: &Closure, needer: usize) -> Result<HashSet<usize>, BindingError> {
        let references = self.references(closure, needer)?;
        let mut open = Bits::of(references.symbols.len(), |_| true);
        let mut used = HashSet::default();
        // A copied variable is looked up in all objects except the program itself.
        for &provider in closure.scope.iter().filter(|&&provider| provider != needer) {
            if open.is_empty() {
                break;
            }
            if open.take(self.satisfied(closure, needer, provider)?.as_ref()) {
                used.insert(provider);
            }
        }
        Ok(used)
    }

    fn firsts<'c>(&self, closure: &'c Closure) -> Result<Firsts<'c>, BindingError> {
        let exports = closure
            .scope
            .iter()
            .map(|&index| self.exports(closure, index));
        Ok(Firsts {
            scope: &closure.scope,
            exports: exports.collect::<Result<_, _>>()?,
            known: HashMap::default(),
        })
    }

    /// What an object defines, and its versions if the loader of the closure checks them.
    fn exports<'c>(&self, closure: &'c Closure, index: usize) -> Result<Exports<'c>, BindingError> {
        let object = &closure.map.objects()[index];
        let definitions = of(object, self.view.definitions(&object.walk, &object.object))?;
        let versions = match has_versions(closure) {
            true => Some(self.versions_of(object)?),
            false => None,
        };
        Ok((definitions, versions))
    }

    fn references<'c>(
        &self,
        closure: &'c Closure,
        index: usize,
    ) -> Result<&'c References, BindingError> {
        let object = &closure.map.objects()[index];
        of(object, self.view.references(&object.walk, &object.object))
    }

    /// Which references of `needer` are satisfied by `provider`.
    fn satisfied(
        &self,
        closure: &Closure,
        needer: usize,
        provider: usize,
    ) -> Result<Arc<Bits>, BindingError> {
        let object = &closure.map.objects()[provider];
        let needer_id = closure.map.objects()[needer].walk.metadata.id;
        self.symbols.get((needer_id, object.walk.metadata.id), || {
            let references = self.references(closure, needer)?;
            let (definitions, versions) = self.exports(closure, provider)?;
            Ok(Arc::new(Bits::of(references.symbols.len(), |number| {
                definitions.satisfies(&references.symbols[number], versions)
            })))
        })
    }
}
