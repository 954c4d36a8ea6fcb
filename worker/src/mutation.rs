//! Deliberate faults: each switches off one part of the protocol, so that the tests can be seen to fail without it.
//!
//! No flag, file or variable of the worker reaches them; only the tests' own binary passes anything but `None`.

/// One part of the protocol left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    #[default]
    None,
    /// Records below a player's watermark are applied again.
    NoWatermark,
    /// Whatever the fence holds is taken for the lane's own.
    NoFence,
    /// Offsets may be committed before their records are stored.
    CommitBeforeWrite,
    /// Not a fault: parked lanes look again after 0.3 s, so that a test can see what they do then.
    ParkBriefly,
}

impl std::str::FromStr for Mutation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "none" => Ok(Self::None),
            "no-watermark" => Ok(Self::NoWatermark),
            "no-fence" => Ok(Self::NoFence),
            "commit-before-write" => Ok(Self::CommitBeforeWrite),
            "park-briefly" => Ok(Self::ParkBriefly),
            other => Err(format!("no mutation is called {other}")),
        }
    }
}
