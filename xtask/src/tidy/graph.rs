//! What must not be compiled into the page, and what not into the server, however indirectly.

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// A program, where it runs (`None` for this machine), and the packages that it must do without.
struct Rule {
    package: &'static str,
    target: Option<&'static str>,
    without: &'static [&'static str],
}

const RULES: [Rule; 3] = [
    Rule {
        package: "throughline-inspector",
        target: Some("wasm32-unknown-unknown"),
        without: &["opentelemetry_sdk", "reqwest", "throughline-browser", "tokio"],
    },
    Rule {
        package: "cruddur-frontend",
        target: Some("wasm32-unknown-unknown"),
        without: &["opentelemetry_sdk", "reqwest", "throughline-inspector", "tokio"],
    },
    Rule { package: "throughline", target: None, without: &["gloo-net", "leptos", "web-sys"] },
];

/// Asks cargo for each graph. Only what is linked counts: no procedural macros, no build scripts, no tests.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for rule in &RULES {
        let mut cargo = workspace.cargo(&["tree", "--locked", "--edges=normal,no-proc-macro", "--prefix=none"]);
        cargo.args(["--format={p}", "--package", rule.package]);
        if let Some(target) = rule.target {
            cargo.args(["--target", target]);
        }
        let tree = process::output(&mut cargo)?;
        problems.extend(found(&tree, rule.without).into_iter().map(|package| {
            let target = rule.target.map(|target| format!(" --target {target}")).unwrap_or_default();
            format!(
                "{package} is in the graph of {}; `cargo tree -e normal,no-proc-macro -p {}{target} -i {package}` shows how",
                rule.package, rule.package
            )
        }));
    }
    Ok(problems)
}

/// Those of `without` that a listing with one `name vX.Y.Z` a line has.
fn found<'a>(tree: &str, without: &[&'a str]) -> Vec<&'a str> {
    let has = |package: &str| tree.lines().any(|line| line.split(' ').next() == Some(package));
    without.iter().copied().filter(|package| has(package)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_by_their_whole_name() {
        let tree = "app v0.1.0 (/x)\ntokio-stream v0.1.17\nweb-sys v0.3.106 (*)\n";
        assert_eq!(found(tree, &["tokio", "web-sys"]), ["web-sys"]);
        assert!(found(tree, &["tokio"]).is_empty());
    }
}
