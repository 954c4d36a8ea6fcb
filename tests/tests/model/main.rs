//! The model of the protocol: what holds in every order of steps, and what each part of it is for.

mod traces;

use plaudit_tests::model::{
    Broken, Checked, Config, Mutation, Split, SplitMutation, Step, Stuck, contention, harmful, harmless,
    live, random, replay, search, small, split_harmful, split_sound, walk,
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
    let mut stuck = Vec::new();
    for (config, lives) in contention() {
        assert_exact(config.name, &config);
        let found = live(&config, usize::MAX).stuck;
        assert_eq!(found.is_none(), lives, "{}", config.name);
        stuck.extend(found.map(|found| (config.name, found)));
    }
    let sentences = |steps: &[Step]| steps.iter().map(ToString::to_string).collect::<Vec<_>>();
    let [(zombie, Stuck::Cycle(_, cycle)), (committer, Stuck::DeadEnd(way))] = &stuck[..] else {
        panic!("{stuck:?}");
    };
    assert_eq!(
        (*zombie, sentences(cycle)),
        (
            "a zombie that starts again for ever",
            [
                "B loads a batch of 1",
                "A starts again by itself",
                "A reads the commit",
                "A takes the fence",
                "B's script runs",
                "B gets its answers",
                "B is confirmed",
                "B reads the commit",
                "B takes the fence",
            ]
            .map(str::to_owned)
            .to_vec()
        )
    );
    assert_eq!(
        (*committer, sentences(way)),
        (
            "the committer does not note what confirmed",
            [
                "A reads the commit",
                "A takes the fence",
                "A loads a batch of 1",
                "the replica has all so far",
                "A's script runs",
                "A gets its answers",
                "A commits",
                "the store falls back to the replica",
                "A looks at its fence",
                "A is confirmed",
                "A reads the commit",
                "the replica has all so far",
                "A takes the fence",
                "the store falls back to the replica",
                "A loads a batch of 1",
                "A is confirmed",
                "A reads the commit",
                "A takes the fence",
                "A loads a batch of 1",
            ]
            .map(str::to_owned)
            .to_vec()
        )
    );
}

#[test]
fn random_runs_through_large_configurations_are_exact() {
    for config in random() {
        let walked = walk(&config, 0..500, 300);
        assert!(walked.broken.is_none(), "{}: {walked:?}", config.name);
    }
}

/// The runs are long and wild enough to find what is left out.
#[test]
fn random_runs_find_parts_left_out() {
    for mutation in
        [Mutation::NoWatermark, Mutation::NoOutbox, Mutation::FenceByPosition, Mutation::NewcomersUnchecked]
    {
        let found = random().into_iter().any(|config| {
            let walked = walk(&Config { mutation, ..config }, 0..500, 300);
            walked.broken.is_some()
        });
        assert!(found, "{mutation:?}");
    }
}

/// Without its mutation each configuration holds: what breaks it is the part left out and nothing else.
#[test]
fn the_whole_protocol_holds_where_each_part_left_out_breaks() {
    for config in harmful() {
        assert_exact(config.name, &Config { mutation: Mutation::None, fenced: true, ..config.clone() });
    }
    for split in split_harmful() {
        let name = split.name;
        assert_exact(name, &Split { mutation: SplitMutation::None, ..split });
    }
}

fn assert_exact<M>(name: &str, model: &M)
where
    M: Checked + Clone + Send + Sync + 'static,
{
    let searched = search(model);
    assert!(searched.broken.is_none(), "{name}: {searched:?}");
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
    assert_eq!(search(model).broken.as_ref(), Some(expected));
    let state = replay(model, &expected.steps).expect("the steps are possible");
    assert_eq!(model.breach(&state).as_ref(), Some(&expected.breach));
}
