//! The steps of the model of split records.

use std::fmt;

use super::store::{Command, Manifest, Name, Reference};
use super::{Reader, Split, SplitMutation, SplitState};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitStep {
    /// A writer reads the manifest, and sends chunks and script; `whole`: it makes both chunks.
    Write {
        writer: u8,
        whole: bool,
    },
    /// The next command of a writer runs.
    Run(u8),
    /// A writer stops waiting, or dies; what it sent may still run.
    GiveUp(u8),
    /// What a writer has under way is sent a second time.
    Resend(u8),
    RunLate(u8),
    /// A chunk's time is up.
    Expire(u8),
    ReadManifest,
    ReadChunk,
    Replicate,
    FailOver,
}

pub fn enabled(state: &SplitState, steps: &mut Vec<SplitStep>) {
    for (at, writer) in (0..).zip(&state.writers) {
        if !writer.sent.is_empty() {
            steps.extend([SplitStep::Run(at), SplitStep::GiveUp(at)]);
            if state.faults.resends > 0 {
                steps.push(SplitStep::Resend(at));
            }
        } else if writer.attempts > 0 {
            steps.push(SplitStep::Write { writer: at, whole: true });
            if state.store.manifest.is_some() {
                steps.push(SplitStep::Write { writer: at, whole: false });
            }
        }
    }
    steps.extend((0..).zip(&state.late).map(|(at, _)| SplitStep::RunLate(at)));
    let expiring = (0..).zip(&state.store.chunks).filter(|(_, chunk)| chunk.expires);
    steps.extend(expiring.map(|(at, _)| SplitStep::Expire(at)));
    match state.reader {
        Reader::Idle if state.store.manifest.is_some() => steps.push(SplitStep::ReadManifest),
        Reader::Has(..) => steps.push(SplitStep::ReadChunk),
        Reader::Idle | Reader::Mixed => {}
    }
    if state.faults.failovers > 0 {
        steps.push(if state.replica.is_none() { SplitStep::Replicate } else { SplitStep::FailOver });
    }
}

pub fn apply(split: &Split, state: &mut SplitState, step: SplitStep) {
    match step {
        SplitStep::Write { writer, whole } => write(split, state, writer, whole),
        SplitStep::Run(writer) => {
            let command = state.writers[usize::from(writer)].sent.remove(0);
            state.store.run(split, &command);
        }
        SplitStep::GiveUp(writer) => {
            let sent = std::mem::take(&mut state.writers[usize::from(writer)].sent);
            state.late.push(sent);
        }
        SplitStep::Resend(writer) => {
            state.faults.resends -= 1;
            state.late.push(state.writers[usize::from(writer)].sent.clone());
        }
        SplitStep::RunLate(at) => {
            let command = state.late[usize::from(at)].remove(0);
            state.store.run(split, &command);
            state.late.retain(|commands| !commands.is_empty());
        }
        SplitStep::Expire(at) => drop(state.store.chunks.remove(usize::from(at))),
        SplitStep::ReadManifest => {
            state.reader = state.store.manifest.map_or(Reader::Idle, |manifest| Reader::Has(manifest, 0));
        }
        SplitStep::ReadChunk => read_chunk(state),
        SplitStep::Replicate => state.replica = Some(Box::new(state.store.clone())),
        SplitStep::FailOver => {
            state.faults.failovers -= 1;
            if let Some(replica) = state.replica.take() {
                state.store = *replica;
            }
        }
    }
}

fn write(split: &Split, state: &mut SplitState, at: u8, whole: bool) {
    let base = state.store.manifest;
    let writer = &mut state.writers[usize::from(at)];
    writer.attempts -= 1;
    // Never used twice: the writer and what is left of its attempts.
    let id = 1 + at + 2 * writer.attempts;
    let version = base.map_or(0, |base| base.version) + 1;
    let named = match split.mutation {
        SplitMutation::NamedByVersion => version,
        SplitMutation::OverwrittenInPlace => 0,
        SplitMutation::None
        | SplitMutation::WithoutNx
        | SplitMutation::NoExistenceCheck
        | SplitMutation::PersistApart => id,
    };
    let make = |index| Reference { name: Name { of: named, index }, content: id };
    let kept = base.filter(|_| !whole).map(|base| base.chunks[1]);
    let made: Vec<Reference> = if kept.is_some() { vec![make(0)] } else { vec![make(0), make(1)] };
    let new = Manifest { version, id, chunks: [make(0), kept.unwrap_or_else(|| make(1))] };
    let names: Vec<Name> = made.iter().map(|reference| reference.name).collect();
    writer.sent.extend(made.into_iter().map(Command::Upload));
    let expected = base.map(|base| (base.version, base.id));
    writer.sent.push(Command::Script { expected, new, made: names.clone() });
    if split.mutation == SplitMutation::PersistApart {
        writer.sent.push(Command::Persist(names));
    }
}

/// A chunk that is gone sends the reader back to the manifest.
fn read_chunk(state: &mut SplitState) {
    let Reader::Has(manifest, read) = &state.reader else { return };
    let reference = manifest.chunks[usize::from(*read)];
    state.reader = match state.store.chunk(reference.name) {
        None => Reader::Idle,
        Some(found) if found.content != reference.content => Reader::Mixed,
        Some(_) if *read == 1 => Reader::Idle,
        Some(_) => Reader::Has(*manifest, read + 1),
    };
}

impl fmt::Display for SplitStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |writer: u8| super::super::step::lane(writer);
        match *self {
            Self::Write { writer, whole: true } => {
                write!(f, "{} sends both chunks and the script", name(writer))
            }
            Self::Write { writer, whole: false } => {
                write!(f, "{} sends the first chunk and the script", name(writer))
            }
            Self::Run(writer) => write!(f, "{}'s next command runs", name(writer)),
            Self::GiveUp(writer) => write!(f, "{} gives up waiting", name(writer)),
            Self::Resend(writer) => write!(f, "{}'s commands are sent twice", name(writer)),
            Self::RunLate(at) => write!(f, "the next of late commands {at} runs"),
            Self::Expire(at) => write!(f, "chunk {at} in the store expires"),
            Self::ReadManifest => f.write_str("the reader reads the manifest"),
            Self::ReadChunk => f.write_str("the reader reads the next chunk"),
            Self::Replicate => f.write_str("the replica has all so far"),
            Self::FailOver => f.write_str("the store falls back to the replica"),
        }
    }
}
