//! Every supported shape renders, to what is committed, with both Helms, and into what Kubernetes knows.

use std::process::Command;

use anyhow::Result;
use plaudit::rbac;
use plaudit_tests::chart::{self, Helm, MONITORING};
use plaudit_tests::programs;
use serde_json::{Value, json};

use crate::cases;

/// Versions of Kubernetes whose schemas are looked at.
const VERSIONS: [&str; 5] = ["1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0"];

#[test]
fn both_helms_find_nothing_to_mend() -> Result<()> {
    let chart = chart::folder().display().to_string();
    for helm in [Helm::four()?, Helm::three()?] {
        for case in cases::all()? {
            let values = format!("--values={}", case.values().display());
            // What a cluster lacks is no matter of the chart's form.
            let plain = ["--set=podMonitor.enabled=false,prometheusRule.enabled=false"];
            helm.run(&[&["lint", "--strict", "--quiet", &chart, &values], &plain[..]].concat())?;
        }
    }
    Ok(())
}

/// UPDATE_GENERATED=1 (`make generate`) writes the files instead.
#[test]
fn every_shape_is_as_committed() -> Result<()> {
    let helm = Helm::four()?;
    let mut differing = Vec::new();
    for case in cases::all()? {
        let text = without_crd(&case.render(&helm)?);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(case.golden(), &text)?;
        }
        if std::fs::read_to_string(case.golden()).ok().as_ref() != Some(&text) {
            differing.push(case.name);
        }
    }

    assert_eq!(differing, Vec::<String>::new(), "run `make generate` and look at the difference");
    Ok(())
}

#[test]
fn helm_3_and_helm_4_give_the_same_objects() -> Result<()> {
    let (four, three) = (Helm::four()?, Helm::three()?);
    let mut differing = Vec::new();
    for case in cases::all()? {
        if sorted(&case.render(&four)?)? != sorted(&case.render(&three)?)? {
            differing.push(case.name);
        }
    }

    assert_eq!(differing, Vec::<String>::new());
    Ok(())
}

#[test]
fn every_object_is_one_that_kubernetes_1_33_to_1_37_know() -> Result<()> {
    let (helm, folder) = (Helm::four()?, chart::scratch()?);
    for case in cases::all()? {
        std::fs::write(folder.join(format!("{}.yaml", case.name)), case.render(&helm)?)?;
    }
    let schemas = chart::schemas()?.display().to_string();
    let location = format!(
        "{schemas}/{{{{.NormalizedKubernetesVersion}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    );

    for version in VERSIONS {
        let skipped = MONITORING.join(",");
        let arguments = [
            "-strict",
            "-schema-location",
            &location,
            "-kubernetes-version",
            version,
            "-skip",
            &skipped,
            ".",
        ];
        let (valid, said) = chart::checked("kubeconform", "kubeconform", &folder, &arguments)?;
        assert!(valid, "Kubernetes {version}: {said}");
    }
    Ok(())
}

#[test]
fn the_program_knows_the_arguments_of_every_shape() -> Result<()> {
    let (helm, program) = (Helm::four()?, programs::find("plaudit-under-test")?);
    let mut refused = Vec::new();
    for case in cases::all()? {
        for arguments in cases::arguments(&case.render(&helm)?)? {
            // It reads all of them before it helps.
            let output = Command::new(&program).args(&arguments).arg("--help").output()?;
            if !output.status.success() {
                refused.push((case.name.clone(), String::from_utf8(output.stderr)?));
            }
        }
    }

    assert_eq!(refused, Vec::new());
    Ok(())
}

#[test]
fn the_operator_gets_its_rights_and_no_others() -> Result<()> {
    let text = Helm::four()?.template(&[])?;
    let objects = chart::objects(&text)?;
    let found = |kind: &str, name: &str| {
        let wanted = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        objects.iter().find(wanted).map(|object| object["rules"].clone()).unwrap_or_default()
    };

    let rights = [found("ClusterRole", "plaudit-system:plaudit"), found("Role", "plaudit-leader-election")];

    let rules = |rules: &[rbac::Rule]| -> Vec<Value> {
        rules.iter().map(|rule| json!(k8s_openapi::api::rbac::v1::PolicyRule::from(rule))).collect()
    };
    let expected = [rules(&rbac::pipeline_rules()), rules(&rbac::lease_rules("plaudit"))];
    assert_eq!(rights, expected.map(Value::from));
    for rule in rbac::pipeline_rules() {
        assert!(text.contains(&format!("# {}\n", rule.reason)), "{}", rule.reason);
    }
    Ok(())
}

/// The CRD is long, and committed elsewhere.
fn without_crd(text: &str) -> String {
    let parts = text.split_inclusive("---\n").map(|part| {
        if part.contains("kind: CustomResourceDefinition") {
            let head = part.split("\nspec:").next().unwrap_or_default();
            format!("{head}\nspec: (left out)\n---\n")
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}

/// The order of objects and the form of YAML are a Helm's own.
fn sorted(text: &str) -> Result<Vec<String>> {
    let mut objects: Vec<String> = chart::objects(text)?.iter().map(Value::to_string).collect();
    objects.sort();
    Ok(objects)
}
