//! The floor that Plaudit's decisions have to hold against the rivals.

use plaudit::simulate::{Settings, Trace};

use super::cost::Figures;
use super::table::{Table, ours};
use super::traces::{named, random};

fn trace(name: &str) -> Trace {
    let (_, trace) = named().into_iter().find(|(known, _)| known == name).expect("it is one of them");
    trace
}

#[test]
fn one_setting_of_plaudit_costs_less_than_any_of_theirs() {
    let table = Table::of(&named(), &Settings::default());
    let (ours, sum) = (table.ours(), table.ours().sum());

    let dearer: Vec<String> = (0..table.traces.len())
        .filter(|&trace| ours.figures[trace].cost() > 1.05 * table.best_of_theirs(trace))
        .map(|trace| table.traces[trace].clone())
        .collect();
    let cheaper_or_better: Vec<&str> = table
        .theirs()
        .iter()
        .filter(|entry| entry.sum().cost() <= sum.cost() || entry.sum().beats(&sum))
        .map(|entry| entry.rival)
        .collect();

    assert!(dearer.is_empty() && cheaper_or_better.is_empty(), "{dearer:?} {cheaper_or_better:?}\n{table}");
}

#[test]
fn on_random_traces_plaudit_costs_less_in_sum_than_any_of_theirs() {
    let table = Table::of(&random(1..25), &Settings::default());
    let sum = table.ours().sum().cost();

    let cheaper: Vec<&str> =
        table.theirs().iter().filter(|entry| entry.sum().cost() <= sum).map(|entry| entry.rival).collect();

    assert!(cheaper.is_empty(), "{cheaper:?}\n{table}");
}

#[test]
fn at_steady_load_nothing_changes_once_it_has_settled() {
    let outcome = ours(&trace("steady"), &Settings::default());

    let late: Vec<u64> =
        outcome.scale_events().map(|change| change.second).filter(|second| *second > 900).collect();

    assert_eq!(late, Vec::<u64>::new());
}

#[test]
fn the_cost_is_pods_and_lag_and_changes() {
    let figures = Figures { mean_pods: 3.0, lag_p99_seconds: 5.0, events_per_hour: 8.0 };

    assert_eq!((figures.cost() * 100.0).round(), 390.0);
}
