//! The model of the protocol: what holds in every order of steps, and what each part of it is for.

mod traces;

use plaudit_tests::model::{
    Broken, Checked, Config, Mutation, SplitMutation, Stuck, contention, harmful, harmless, live, replay,
    search, small, split_harmful, split_sound,
};

#[test]
fn every_small_configuration_is_exact_and_comes_to_its_end() {
    for case in small() {
        assert_exact(case.config.name, &case.config);
        let lived = live(&case.config, usize::MAX);
        assert_eq!(
            (lived.stuck.is_none(), lived.done > 0),
            (case.live, true),
            "{}: {lived:?}",
            case.config.name
        );
    }
}

#[test]
fn a_reader_never_sees_half_a_split_record() {
    for split in split_sound() {
        assert_exact(split.name, &split);
    }
}

#[test]
fn what_is_said_to_break_nothing_breaks_nothing() {
    for config in harmless() {
        assert_exact(config.name, &config);
    }
}

#[test]
fn the_confirmed_owner_ends_up_with_the_fence_unless_a_zombie_starts_again_for_ever() {
    let found: Vec<_> = contention()
        .into_iter()
        .map(|(config, lives)| {
            assert_exact(config.name, &config);
            let why = match live(&config, usize::MAX).stuck {
                None => "live",
                Some(Stuck::DeadEnd(_)) => "a dead end",
                Some(Stuck::Cycle(..)) => "a cycle",
            };
            assert_eq!(why == "live", lives, "{}", config.name);
            (config.name, why)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a zombie takes the fence once more", "live"),
            ("owner and zombie take it twice more", "live"),
            ("two zombies and an owner", "live"),
            ("a zombie that starts again for ever", "a cycle"),
            ("the same, but each start is confirmed", "live"),
            ("the committer does not note what confirmed", "a dead end"),
        ]
    );
}

/// Without its mutation each configuration holds: what breaks it is the part left out and nothing else.
#[test]
fn the_whole_protocol_holds_where_each_part_left_out_breaks() {
    for config in harmful() {
        assert_exact(config.name, &Config { mutation: Mutation::None, fenced: true, ..config.clone() });
    }
    for split in split_harmful() {
        let name = split.name;
        assert_exact(name, &plaudit_tests::model::Split { mutation: SplitMutation::None, ..split });
    }
}

fn assert_exact<M>(name: &str, model: &M)
where
    M: Checked + Clone + Send + Sync + 'static,
{
    let searched = search(model, None);
    assert!(searched.exhaustive, "{name}: {searched:?}");
}

/// The configuration of this name breaks so, by these steps and by no fewer; replayed, they lead there.
fn found(name: &str, breach: &str, steps: &[&str]) {
    let expected =
        Broken { breach: breach.to_owned(), steps: steps.iter().map(|step| (*step).to_owned()).collect() };
    if let Some(config) = harmful().into_iter().find(|config| config.name == name) {
        breaks(&config, &expected);
    } else if let Some(split) = split_harmful().into_iter().find(|split| split.name == name) {
        breaks(&split, &expected);
    } else {
        panic!("no configuration is called {name}");
    }
}

fn breaks<M>(model: &M, expected: &Broken)
where
    M: Checked + Clone + Send + Sync + 'static,
{
    assert_eq!(search(model, None).broken.as_ref(), Some(expected));
    let state = replay(model, &expected.steps).expect("the steps are possible");
    assert_eq!(model.breach(&state).as_ref(), Some(&expected.breach));
}
