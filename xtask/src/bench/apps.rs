//! The benchmark's WASM applications, built with the same profile and optimizer flags as the shipped frontend.

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
    /// The package is named `throughline-bench-` followed by this.
    pub(super) name: &'static str,
    /// The part of the tracer that is linked into it.
    pub(super) tracer: Tracer,
    /// The file stem of cargo's output; that of a library has underscores.
    product: &'static str,
}

/// The part of the tracer that is linked into a page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracer {
    /// No tracer.
    Without,
    /// The tracer with its default features.
    Default,
    /// The tracer with everything that it can capture.
    Full,
}

impl Tracer {
    /// Returns the feature of the application that enables it.
    const fn feature(self) -> Option<&'static str> {
        match self {
            Self::Without => None,
            Self::Default => Some("traced"),
            Self::Full => Some("full"),
        }
    }
}

impl App {
    /// Returns the page in Leptos.
    pub(super) const fn leptos(tracer: Tracer) -> Self {
        Self { name: "leptos", tracer, product: "throughline-bench-leptos" }
    }

    /// Returns the page without a framework.
    pub(super) const fn bare(tracer: Tracer) -> Self {
        Self { name: "bare", tracer, product: "throughline-bench-bare" }
    }

    /// The tracer, with functions that JavaScript can call.
    pub(super) const PROBE: Self = Self { name: "probe", tracer: Tracer::Without, product: "throughline_bench_probe" };
}

/// The files of an application that a browser loads.
pub(super) struct Built {
    /// The optimized module.
    pub(super) wasm: PathBuf,
    /// The JavaScript that wasm-bindgen generated for it.
    pub(super) glue: PathBuf,
}

/// Builds `app` into its own folder below `folder`.
pub(super) fn build(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path) -> Result<Built> {
    build_with(workspace, toolbox, app, folder, false)
}

/// Builds `app` with function names in the module.
pub(super) fn build_named(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path) -> Result<Built> {
    build_with(workspace, toolbox, app, &folder.join("named"), true)
}

fn build_with(workspace: &Workspace, toolbox: &Toolbox, app: App, folder: &Path, named: bool) -> Result<Built> {
    let package = format!("--package=throughline-bench-{}", app.name);
    let profile = format!("--profile={PROFILE}");
    let target = format!("--target={TARGET}");
    let mut cargo = workspace.cargo(&["build", "--quiet", "--locked", &profile, &target, &package]);
    if let Some(feature) = app.tracer.feature() {
        cargo.arg(format!("--features={feature}"));
    }
    if named {
        // The profile strips names, so everything is compiled again.
        cargo.env("CARGO_PROFILE_WASM_RELEASE_STRIP", "none");
    }
    process::run(&mut cargo)?;
    // Both variants have the same path; wasm-bindgen reads this one before the next is built.
    let product = workspace.target.join(TARGET).join(PROFILE).join(format!("{}.wasm", app.product));

    let folder = folder.join(match app.tracer.feature() {
        Some(feature) => format!("{}-{feature}", app.name),
        None => app.name.to_owned(),
    });
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut bindgen = toolbox.command("wasm-bindgen")?;
    bindgen.args(["--target=web", "--no-typescript", "--out-name", app.name, "--out-dir"]).arg(&folder).arg(&product);
    process::run(&mut bindgen)?;

    let bound = folder.join(format!("{}_bg.wasm", app.name));
    let optimized = folder.join("optimized.wasm");
    let mut opt = toolbox.command("wasm-opt")?;
    let mut output = std::ffi::OsString::from("--output=");
    output.push(&optimized);
    opt.arg(output).arg("-Oz").args(optimizer_flags(workspace)?).arg(&bound);
    if named {
        opt.arg("--debuginfo");
    }
    process::run(&mut opt)?;
    // The glue loads the module under this name.
    fs::rename(&optimized, &bound).with_context(|| format!("cannot write {}", bound.display()))?;
    Ok(Built { wasm: bound, glue: folder.join(format!("{}.js", app.name)) })
}

/// Returns the flags for wasm-opt with which Trunk builds the frontend.
fn optimizer_flags(workspace: &Workspace) -> Result<Vec<String>> {
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
    fn attributes_are_matched_by_full_name() {
        let page = r#"<link data-wasm-opt="z" data-wasm-opt-params="--enable-a --enable-b">"#;
        assert_eq!(attribute(page, "data-wasm-opt"), Some("z"));
        assert_eq!(attribute(page, "data-wasm-opt-params"), Some("--enable-a --enable-b"));
        assert_eq!(attribute(page, "data-bin"), None);
    }
}
