//! CPU time of everybody who takes part, and of everybody else on the machine.

use anyhow::Result;

use super::super::machine;
use crate::stack::delay::DelayProxy;
use crate::stack::{Kafka, Valkey};

/// CPU-seconds so far, or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// `direct`, or the workers.
    pub subject: f64,
    pub store: f64,
    pub broker: f64,
    /// The game servers' part: making requests or producing.
    pub senders: f64,
    /// Whoever else is on the machine.
    pub others: f64,
    /// Wall clock.
    pub seconds: f64,
}

/// Whose CPU time is looked at.
#[derive(Debug)]
pub struct Meter<'a> {
    pub subjects: Vec<u32>,
    pub kafka: &'a Kafka,
    pub valkey: &'a Valkey,
    pub proxy: &'a DelayProxy,
}

impl Meter<'_> {
    pub fn read(&self) -> Result<Cpu> {
        let of = |pid: Option<u32>| pid.map_or(Ok(0.0), machine::cpu_seconds);
        let subject = self.subjects.iter().map(|&pid| machine::cpu_seconds(pid)).sum::<Result<f64>>()?;
        let (store, broker) = (of(self.valkey.pid())?, of(self.kafka.pid())?);
        let own = machine::cpu_seconds(std::process::id())?;
        let senders = own - machine::thread_cpu_seconds(self.proxy.thread_id())?;
        let others = machine::Processors::read()?.busy - subject - store - broker - own;
        Ok(Cpu { subject, store, broker, senders, others, seconds: machine::uptime_seconds()? })
    }
}

impl Cpu {
    pub fn since(&self, before: &Self) -> Self {
        Self {
            subject: self.subject - before.subject,
            store: self.store - before.store,
            broker: self.broker - before.broker,
            senders: self.senders - before.senders,
            others: (self.others - before.others).max(0.0),
            seconds: self.seconds - before.seconds,
        }
    }

    /// Of one report, where so many were stored.
    pub fn per_report(&self, reports: u64) -> Self {
        let each = |seconds: f64| seconds / reports.max(1) as f64;
        Self {
            subject: each(self.subject),
            store: each(self.store),
            broker: each(self.broker),
            senders: each(self.senders),
            others: each(self.others),
            seconds: each(self.seconds),
        }
    }
}
