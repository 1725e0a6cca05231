//! Why a file is in an image.
//!
//! In: an image that has been read, and a path in it. Out: every chain from what the image starts,
//! or from the needs in its record, to the file, with the rule at each step. The chains are
//! resolved again from the files; the record of a pack explains what no loader requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::closure::{Closure, Program};
use crate::exec::Interpreters;
use crate::loader::{Environment, FoundVia, LD_SO_CACHE, Loaded, Rules};
use crate::source::Source;
use crate::vfs::{Errno, NodeKind, Walk};

/// Maximum number of chains reported for one file: a mesh of libraries has too many to read.
const MAX_CHAINS: usize = 500;
/// Maximum number of steps in the search for them.
const MAX_STEPS: usize = 100_000;

/// One step of a chain: a file, and why the one before leads to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Step {
    /// The path of the file.
    pub path: PathBuf,
    /// The rule, such as `entrypoint` or `needed as libz.so.1, ld.so.cache`.
    pub rule: String,
}

/// Why a path is in an image.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// The path, with links in its directories resolved.
    pub path: PathBuf,
    /// `file`, `folder`, `link` or `special`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// The chains that lead to it, the shortest first.
    pub chains: Vec<Vec<Step>>,
    /// Whether there are more chains than these.
    pub has_more_chains: bool,
    /// For a directory, the number of paths below it that something leads to.
    pub needed_below: usize,
}

impl Why {
    /// Whether anything in the image leads to it.
    pub fn is_needed(&self) -> bool {
        !self.chains.is_empty() || self.needed_below > 0
    }
}

/// Why a file is there: the file that leads to it, if any, and the rule.
type IncomingEdge = (Option<PathBuf>, String);

/// The graph of what leads from one file of an image to another.
pub struct Graph<'s> {
    source: &'s Source,
    environment: &'s Environment,
    env: &'s [String],
    /// Real paths, of links too.
    causes: BTreeMap<PathBuf, BTreeSet<IncomingEdge>>,
}

impl<'s> Graph<'s> {
    /// An empty graph. Loaders search with `environment`; commands are found with the variables
    /// `env` (`NAME=VALUE`).
    pub fn new(source: &'s Source, environment: &'s Environment, env: &'s [String]) -> Self {
        Self {
            source,
            environment,
            env,
            causes: BTreeMap::new(),
        }
    }

    /// Adds a file that is there for `rule`, with everything that it loads or that runs it.
    pub fn add(&mut self, path: &Path, rule: &str) {
        self.lead(None, path, rule, 0);
    }

    fn lead(&mut self, by: Option<&Path>, path: &Path, rule: &str, depth: usize) {
        /// Longest chain of interpreters: script, `env`, and the command that `env` starts.
        const DEEPEST: usize = 3;
        let view = &self.source.view;
        let by = by.map(Path::to_path_buf);
        let Ok(walk) = view.walk(path) else {
            // A dangling link is in the image nevertheless.
            let at = self
                .source
                .view
                .location(path)
                .unwrap_or_else(|_| path.to_path_buf());
            self.note(at, (by, rule.to_owned()));
            return;
        };
        let is_new = !self.causes.contains_key(&walk.real);
        self.note_way(&walk, path, (by, rule.to_owned()));
        if !is_new || walk.metadata.kind != NodeKind::File || depth > DEEPEST {
            return;
        }
        match Program::find(view, path) {
            Ok(program) => {
                let loaders = &self.source.loaders;
                if let Ok(closure) = Closure::of(&program, view, loaders, self.environment) {
                    self.add_closure(&closure);
                }
            }
            Err(_) => {
                if let Some(Ok(found)) = Interpreters::of(view, self.env, path) {
                    let script = Some(walk.real.as_path());
                    self.lead(script, &found.interpreter, "runs the script", depth + 1);
                    if let Some(command) = found.command {
                        self.lead(script, &command, "in the script's first line", depth + 1);
                    }
                }
            }
        }
    }

    fn add_closure(&mut self, closure: &Closure) {
        let objects = closure.map.objects();
        let real = |index: usize| objects[index].walk.real.clone();
        let shown = |index: usize| objects[index].opened_as.clone();
        for edge in &closure.edges {
            let Some(target) = edge.target.filter(|&target| target != 0) else {
                continue;
            };
            let object: &Loaded = edge.alias.as_deref().unwrap_or(&objects[target]);
            let how = match object.requester == Some(edge.requester) {
                true => object.via.rule(edge.requester, &shown),
                false => "already loaded".to_owned(),
            };
            let rule = format!("needed as {}, {how}", edge.name.display());
            let cause = (Some(real(edge.requester)), rule);
            self.note_way(&object.walk, &object.opened_as, cause);
        }
        let interpreters = objects
            .iter()
            .filter(|object| object.via == FoundVia::Interpreter);
        for object in interpreters {
            let cause = (Some(real(0)), "interpreter".to_owned());
            self.note_way(&object.walk, &object.opened_as, cause);
        }
        let Some(rules) = &closure.rules else { return };
        let cache = matches!(rules.as_ref(), Rules::Glibc(_)).then_some(Path::new(LD_SO_CACHE));
        for file in rules.configuration().into_iter().chain(cache) {
            if let Ok(walk) = self.source.view.walk(file) {
                let cause = (Some(real(0)), "read by its loader".to_owned());
                self.note_way(&walk, file, cause);
            }
        }
    }

    /// Records a file, and the links on the way to it.
    fn note_way(&mut self, walk: &Walk, path: &Path, cause: IncomingEdge) {
        for link in &walk.links {
            let rule = format!("on the way to {}", path.display());
            self.note(link.at.clone(), (Some(walk.real.clone()), rule));
        }
        self.note(walk.real.clone(), cause);
    }

    fn note(&mut self, at: PathBuf, cause: IncomingEdge) {
        self.causes.entry(at).or_default().insert(cause);
    }

    /// What leads to the file at a real path: another file, if any, and the rule.
    pub fn causes(&self, path: &Path) -> impl Iterator<Item = (Option<&Path>, &str)> {
        let causes = self.causes.get(path).into_iter().flatten();
        causes.map(|(by, rule)| (by.as_deref(), rule.as_str()))
    }

    /// Why `path` is in the image.
    ///
    /// # Errors
    /// The error number of the lookup if it is not.
    pub fn why(&self, path: &Path) -> Result<Why, Errno> {
        let at = self.source.view.location(path)?;
        let metadata = self.source.view.lookup(&at)?;
        let search = Search {
            causes: &self.causes,
            steps: Vec::new(),
        };
        let (chains, has_more_chains) = search.run(&at);
        let below = self.causes.keys();
        Ok(Why {
            kind: metadata.kind.as_str(),
            bytes: metadata.size,
            chains,
            has_more_chains,
            needed_below: match metadata.kind {
                NodeKind::Directory => below
                    .filter(|node| node.starts_with(&at) && **node != at)
                    .count(),
                _ => 0,
            },
            path: at,
        })
    }
}

impl Graph<'_> {
    /// All edges: the file that leads to another, that one, and the rule.
    pub fn edges(&self) -> impl Iterator<Item = (&Path, &Path, &str)> {
        self.causes.iter().flat_map(|(to, causes)| {
            let causes = causes.iter();
            causes.filter_map(|(by, rule)| Some((by.as_deref()?, to.as_path(), rule.as_str())))
        })
    }

    /// The last step of the first chain that [`Self::why`] reports for each file: the file before
    /// it, if any, and the rule.
    pub fn last_steps(&self) -> BTreeMap<&Path, (Option<&Path>, &str)> {
        let mut leads_to: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
        for (by, to, _) in self.edges() {
            leads_to.entry(by).or_default().push(to);
        }
        // The search of `why` prefers the shortest chain, and then the first cause of each file.
        let (mut distance, mut pending) = (BTreeMap::new(), VecDeque::new());
        for (at, causes) in &self.causes {
            if causes.iter().any(|(by, _)| by.is_none()) {
                distance.insert(at.as_path(), 0_usize);
                pending.push_back(at.as_path());
            }
        }
        while let Some(at) = pending.pop_front() {
            let next = distance[at] + 1;
            for to in leads_to.get(at).into_iter().flatten() {
                if !distance.contains_key(to) {
                    distance.insert(to, next);
                    pending.push_back(to);
                }
            }
        }
        let mut last = BTreeMap::new();
        for (at, steps) in &distance {
            let mut causes = self.causes.get(*at).into_iter().flatten();
            let cause = causes.find(|(by, _)| match by {
                None => *steps == 0,
                Some(by) => distance.get(by.as_path()).map(|before| before + 1) == Some(*steps),
            });
            if let Some((by, rule)) = cause {
                last.insert(*at, (by.as_deref(), rule.as_str()));
            }
        }
        last
    }
}

/// A breadth-first search from a file back to what is started, so the shortest chains come first.
struct Search<'g> {
    causes: &'g BTreeMap<PathBuf, BTreeSet<IncomingEdge>>,
    /// The visited steps: the file, why it is there, and the index of the step after it.
    steps: Vec<(&'g Path, &'g IncomingEdge, Option<usize>)>,
}

impl<'g> Search<'g> {
    /// The chains that lead to `at`, and whether there are more.
    fn run(mut self, at: &'g Path) -> (Vec<Vec<Step>>, bool) {
        let mut chains = Vec::new();
        self.extend(at, None);
        let mut next = 0;
        while let Some((_, (by, _), _)) = self.steps.get(next) {
            match by {
                None => chains.push(self.chain(next)),
                Some(by) => self.extend(by, Some(next)),
            }
            next += 1;
            if chains.len() == MAX_CHAINS || self.steps.len() > MAX_STEPS {
                return (chains, true);
            }
        }
        (chains, false)
    }

    /// Adds the steps that precede the one at `behind`; no file occurs twice in a chain.
    fn extend(&mut self, at: &'g Path, behind: Option<usize>) {
        let after: Vec<&Path> = self.after(behind).map(|(at, _)| at).collect();
        if after.contains(&at) {
            return;
        }
        for cause in self.causes.get(at).into_iter().flatten() {
            self.steps.push((at, cause, behind));
        }
    }

    fn after(&self, from: Option<usize>) -> impl Iterator<Item = (&'g Path, &'g IncomingEdge)> {
        let mut number = from;
        std::iter::from_fn(move || {
            let (at, cause, behind) = self.steps[number?];
            number = behind;
            Some((at, cause))
        })
    }

    fn chain(&self, from: usize) -> Vec<Step> {
        let steps = self.after(Some(from)).map(|(path, (_, rule))| Step {
            path: path.to_path_buf(),
            rule: rule.clone(),
        });
        steps.collect()
    }
}
