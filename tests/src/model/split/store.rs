//! The store as split records see it: a manifest, chunks with or without expiry, and the commands that change them.

use super::{Split, SplitMutation};

/// Key of a chunk: what its name holds, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub of: u8,
    pub index: u8,
}

/// A chunk as a manifest names it: `content` is the write that made it, which readers cannot see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub name: Name,
    pub content: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Manifest {
    pub version: u8,
    pub id: u8,
    pub chunks: [Reference; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chunk {
    pub name: Name,
    pub content: u8,
    pub expires: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub manifest: Option<Manifest>,
    /// Ascending by name.
    pub chunks: Vec<Chunk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `SET … NX EX`.
    Upload(Reference),
    /// Compares, checks that chunks exist, sets the manifest, persists the new chunks and unlinks the dropped ones.
    Script { expected: Option<(u8, u8)>, new: Manifest, made: Vec<Name> },
    /// `PERSIST`, where the script does not do it.
    Persist(Vec<Name>),
}

impl Store {
    pub fn chunk(&self, name: Name) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| chunk.name == name)
    }

    pub fn run(&mut self, split: &Split, command: &Command) {
        match command {
            Command::Upload(reference) => self.upload(split, *reference),
            Command::Script { expected, new, made } => self.script(split, *expected, *new, made),
            Command::Persist(made) => self.persist(made),
        }
    }

    fn upload(&mut self, split: &Split, Reference { name, content }: Reference) {
        let plain = matches!(split.mutation, SplitMutation::WithoutNx | SplitMutation::OverwrittenInPlace);
        if self.chunk(name).is_some() && !plain {
            return;
        }
        self.chunks.retain(|chunk| chunk.name != name);
        self.chunks.push(Chunk { name, content, expires: true });
        self.chunks.sort_unstable_by_key(|chunk| chunk.name);
    }

    fn script(&mut self, split: &Split, expected: Option<(u8, u8)>, new: Manifest, made: &[Name]) {
        if self.manifest.map(|manifest| (manifest.version, manifest.id)) != expected {
            return;
        }
        let all_there = new.chunks.iter().all(|chunk| self.chunk(chunk.name).is_some());
        if !all_there && split.mutation != SplitMutation::NoExistenceCheck {
            return;
        }
        let old = self.manifest.replace(new);
        if split.mutation != SplitMutation::PersistApart {
            self.persist(made);
        }
        for dropped in old.iter().flat_map(|old| old.chunks) {
            if !new.chunks.iter().any(|chunk| chunk.name == dropped.name) {
                self.chunks.retain(|chunk| chunk.name != dropped.name);
            }
        }
    }

    fn persist(&mut self, made: &[Name]) {
        for chunk in self.chunks.iter_mut().filter(|chunk| made.contains(&chunk.name)) {
            chunk.expires = false;
        }
    }
}
