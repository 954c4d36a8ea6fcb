//! A lane's connection to the simulated store: commands are late, lost, or run after nobody waits for them any more.

use std::sync::Arc;
use std::time::Duration;

use plaudit_worker::store::{Found, Reply, Script, Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::data::{Answer, Command};
use super::world::World;

/// A sender waits at most so long for an answer.
const PATIENCE_MS: u64 = 5_000;

#[derive(Debug)]
pub struct Connection {
    pub world: Arc<World>,
    pub lane: u32,
}

/// What becomes of commands that were sent together.
struct Fate {
    /// So many are answered.
    answered: usize,
    /// So many run.
    runs: usize,
    /// The server refuses this one; those behind it run.
    refused: Option<usize>,
    /// How long each waits for the one before it to be over.
    delays: Vec<Duration>,
    gives_up: Duration,
}

impl Fate {
    fn draw(world: &World, commands: usize) -> Self {
        let knobs = &world.plan.knobs;
        let fails = world.fails();
        let rng = &mut world.state().rng;
        let mut ms = |most: u64| Duration::from_millis(rng.u64(..=most));
        let gap = if commands > 1 { knobs.delay_ms.min(3) } else { 0 };
        let mut delays: Vec<Duration> = (0..commands).map(|_| ms(gap)).collect();
        delays[0] = ms(knobs.delay_ms);
        let gives_up = ms(PATIENCE_MS);
        let mut fate = Self { answered: commands, runs: commands, refused: None, delays, gives_up };
        if fails {
            fate.answered = rng.usize(..commands);
            match rng.u8(..4) {
                0 => fate.runs = rng.usize(fate.answered..=commands),
                1 => fate.refused = Some(fate.answered),
                // Long after the sender gave up, and behind whatever else was sent meanwhile.
                _ => fate.delays[fate.answered] = Duration::from_millis(rng.u64(..=knobs.late_ms)),
            }
            if rng.bool() {
                fate.gives_up = Duration::from_millis(rng.u64(..5));
            }
        }
        fate
    }
}

impl Connection {
    /// Answers of the first commands, and an error unless all were answered.
    async fn send(&mut self, commands: Vec<Command>) -> (Vec<Answer>, Option<StoreError>) {
        let (world, lane, sent) = (self.world.clone(), self.lane, commands.len());
        world.thaw(lane).await;
        let fate = Fate::draw(&world, sent);
        let (answers, mut answered) = mpsc::unbounded_channel();
        world.state().under_way += 1;
        // Beside the lane: what is on its way arrives, whatever becomes of its sender.
        tokio::spawn(async move {
            for (at, command) in commands.iter().enumerate().take(fate.runs) {
                sleep(fate.delays[at]).await;
                if fate.refused == Some(at) {
                    continue;
                }
                let Some(answer) = world.execute(lane, command) else { break };
                let _ = answers.send(answer);
            }
            world.state().under_way -= 1;
        });
        let mut taken = Vec::new();
        while taken.len() < fate.answered
            && let Some(answer) = answered.recv().await
        {
            taken.push(answer);
        }
        if taken.len() == sent {
            self.world.way(lane).await;
            return (taken, None);
        }
        sleep(fate.gives_up).await;
        self.world.thaw(lane).await;
        self.world.note(|| format!("lane {lane}: {} of {sent} commands answered", taken.len()));
        (taken, Some(error()))
    }

    async fn one(&mut self, command: Command) -> Result<Answer, StoreError> {
        match self.send(vec![command]).await {
            (_, Some(error)) => Err(error),
            (mut answers, None) => answers.pop().ok_or(StoreError::Answer),
        }
    }

    async fn get(&mut self, keys: Vec<String>) -> Result<Vec<Found>, StoreError> {
        match self.one(Command::Get(keys)).await? {
            Answer::Values(values) => Ok(values),
            _ => Err(StoreError::Answer),
        }
    }
}

fn error() -> StoreError {
    StoreError::Io(redis::RedisError::from((redis::ErrorKind::Io, "simulated")))
}

impl Store for Connection {
    async fn fence(&mut self, key: &str) -> Result<Found, StoreError> {
        Ok(self.get(vec![key.to_owned()]).await?.pop().flatten())
    }

    async fn replace_fence(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let (expected, value) = (expected.unwrap_or_default().to_vec(), value.to_vec());
        let answer = self.one(Command::ReplaceFence { key: key.to_owned(), expected, value }).await?;
        Ok(answer == Answer::Replaced(true))
    }

    async fn load(&mut self, fence_key: &str, keys: &[&str]) -> Result<(Found, Vec<Found>), StoreError> {
        let asked = keys.iter().copied().chain([fence_key]).map(str::to_owned).collect();
        let mut found = self.get(asked).await?;
        let fence = found.pop().ok_or(StoreError::Answer)?;
        Ok((fence, found))
    }

    async fn chunks(&mut self, keys: &[String]) -> Result<Vec<Found>, StoreError> {
        self.get(keys.to_vec()).await
    }

    async fn write(
        &mut self,
        fence_key: &str,
        scripts: &mut [Script<'_>],
    ) -> (Vec<Reply>, Option<StoreError>) {
        let commands = scripts.iter().flat_map(|script| Command::of(fence_key, script)).collect();
        let (answers, error) = self.send(commands).await;
        let replies = answers.into_iter().filter_map(|answer| match answer {
            Answer::Batch(reply) => Some(reply),
            _ => None,
        });
        // A connection that breaks takes all answers with it; one refused command leaves those before it.
        let forgets = error.is_some() && self.world.state().rng.bool();
        (if forgets { Vec::new() } else { replies.collect() }, error)
    }
}
