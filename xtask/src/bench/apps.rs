//! The benchmark's WASM applications, built as the frontend is shipped.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process, tools::Toolbox, workspace::Workspace};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm-release";

/// One application to build.
#[derive(Clone, Copy)]
pub(super) struct App {
    /// Its package is `throughline-bench-` and this.
    pub(super) name: &'static str,
    /// Whether the tracer is in it.
    pub(super) traced: bool,
    /// What cargo calls the product: a library has underscores.
    product: &'static str,
}

impl App {
    /// The page in Leptos.
    pub(super) const fn leptos(traced: bool) -> Self {
        Self { name: "leptos", traced, product: "throughline-bench-leptos" }
    }

    /// The page without a framework.
    pub(super) const fn bare(traced: bool) -> Self {
        Self { name: "bare", traced, product: "throughline-bench-bare" }
    }

    /// The tracer for JavaScript to call.
    pub(super) const PROBE: Self = Self { name: "probe", traced: false, product: "throughline_bench_probe" };
}

/// What a browser loads of an application.
pub(super) struct Built {
    /// The optimised module.
    pub(super) wasm: PathBuf,
    /// wasm-bindgen's JavaScript beside it.
    pub(super) glue: PathBuf,
}

/// Builds `app` into a folder of its own below `folder`.
pub(super) fn build(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path) -> Result<Built> {
    build_with(workspace, toolbox, app, folder, false)
}

/// The same with the names of functions in the module.
pub(super) fn build_named(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path) -> Result<Built> {
    build_with(workspace, toolbox, app, &folder.join("named"), true)
}

fn build_with(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path, named: bool) -> Result<Built> {
    let package = format!("--package=throughline-bench-{}", app.name);
    let profile = format!("--profile={PROFILE}");
    let target = format!("--target={TARGET}");
    let mut cargo = workspace.cargo(&["build", "--quiet", "--locked", &profile, &target, &package]);
    if app.traced {
        cargo.arg("--features=traced");
    }
    if named {
        // The profile strips names; with them everything is compiled once more.
        cargo.env("CARGO_PROFILE_WASM_RELEASE_STRIP", "none");
    }
    process::run(&mut cargo)?;
    // Both variants have one name there; wasm-bindgen reads this one before the next is built.
    let product = workspace.target.join(TARGET).join(PROFILE).join(format!("{}.wasm", app.product));

    let folder = folder.join(if app.traced { format!("{}-traced", app.name) } else { app.name.to_owned() });
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut bindgen = toolbox.command("wasm-bindgen")?;
    bindgen.args(["--target=web", "--no-typescript", "--out-name", app.name, "--out-dir"]).arg(&folder).arg(&product);
    process::run(&mut bindgen)?;

    let bound = folder.join(format!("{}_bg.wasm", app.name));
    let optimised = folder.join("optimised.wasm");
    let mut opt = toolbox.command("wasm-opt")?;
    let mut output = std::ffi::OsString::from("--output=");
    output.push(&optimised);
    opt.arg(output).arg("-Oz").args(optimiser_flags(workspace)?).arg(&bound);
    if named {
        opt.arg("--debuginfo");
    }
    process::run(&mut opt)?;
    // Under the name that the glue asks for.
    fs::rename(&optimised, &bound).with_context(|| format!("cannot write {}", bound.display()))?;
    Ok(Built { wasm: bound, glue: folder.join(format!("{}.js", app.name)) })
}

/// The flags with which Trunk has the frontend optimised.
fn optimiser_flags(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.root.join("frontend/index.html");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let flags = attribute(&page, "data-wasm-opt-params").context("frontend/index.html has no data-wasm-opt-params")?;
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

fn attribute<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    page.split_once(&format!("{name}=\""))?.1.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_by_their_whole_name() {
        let page = r#"<link data-wasm-opt="z" data-wasm-opt-params="--enable-a --enable-b">"#;
        assert_eq!(attribute(page, "data-wasm-opt"), Some("z"));
        assert_eq!(attribute(page, "data-wasm-opt-params"), Some("--enable-a --enable-b"));
        assert_eq!(attribute(page, "data-bin"), None);
    }
}
