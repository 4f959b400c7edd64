//! Writes a page into a folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    Page, folder,
    html::{self, Link},
};

/// The base name of the output of wasm-bindgen.
const OUT_NAME: &str = "page";

impl Page {
    /// Writes the page. The old files are removed once the new ones are complete.
    pub(crate) fn write(&self) -> Result<()> {
        let parent = self.output.parent().context("the output folder has no parent folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let new = TempDir::with_prefix_in(".new-", parent).context("cannot create a temporary folder")?;
        let text = fs::read_to_string(&self.html).with_context(|| format!("cannot read {}", self.html.display()))?;

        let mut head = None;
        let body = html::replace_links(&text, |link| match link {
            Link::File { href, rel, kind } => {
                let url = self.copy(&href, new.path())?;
                let kind = kind.map_or_else(String::new, |kind| format!(" type=\"{kind}\""));
                Ok(format!("<link rel=\"{rel}\"{kind} href=\"{url}\">"))
            }
            Link::Program { level, parameters } => {
                ensure!(head.is_none(), "the page has two programs");
                head = Some(self.program(level.as_deref(), &parameters, new.path())?);
                Ok(String::new())
            }
        })?;
        let page = html::add_to_head(&body, &head.context("the page has no link `rel=\"rust\"`")?)?;
        fs::write(new.path().join("index.html"), page).context("cannot write index.html")?;
        #[cfg(feature = "compress")]
        if self.compress {
            for sizes in crate::compress::compress(new.path())? {
                let name = sizes.path.strip_prefix(new.path()).unwrap_or(&sizes.path).display();
                println!("  {name}: {} bytes, gzip {}, brotli {}", sizes.raw, sizes.gzip, sizes.brotli);
            }
        }
        replace(new, &self.output)
    }

    /// Copies a file of the page and returns its URL.
    fn copy(&self, href: &str, folder: &Path) -> Result<String> {
        let source = self.html.parent().context("the path of the page has no parent folder")?.join(href);
        let bytes = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let stem = source.file_stem().context("a file has no name")?.to_string_lossy();
        let extension = source.extension().context("a file of the page has no extension")?.to_string_lossy();
        let name = format!("{stem}-{}.{extension}", hash(&bytes));
        fs::write(folder.join(&name), bytes).with_context(|| format!("cannot write {name}"))?;
        Ok(format!("{}{name}", self.public_url))
    }

    /// Writes the program and its JavaScript and returns the elements that load them.
    fn program(&self, level: Option<&str>, parameters: &[String], output: &Path) -> Result<String> {
        let bound = TempDir::new().context("cannot create a temporary folder")?;
        Bindgen::new()
            .input_path(&self.wasm)
            .out_name(OUT_NAME)
            .web(true)?
            .typescript(false)
            .omit_default_module_path(true)
            .generate(bound.path())
            .with_context(|| format!("wasm-bindgen cannot process {}", self.wasm.display()))?;
        let mut wasm = bound.path().join(format!("{OUT_NAME}_bg.wasm"));
        if let Some(wasm_opt) = &self.wasm_opt {
            wasm = optimize(wasm_opt, &wasm, level, parameters)?;
        }
        let stem = self.wasm.file_stem().context("the program has no file name")?.to_string_lossy().replace('_', "-");
        let wasm = fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
        let wasm_name = format!("{stem}-{}_bg.wasm", hash(&wasm));
        fs::write(output.join(&wasm_name), wasm).with_context(|| format!("cannot write {wasm_name}"))?;

        let script = bound.path().join(format!("{OUT_NAME}.js"));
        let script = fs::read(&script).with_context(|| format!("cannot read {}", script.display()))?;
        let script_name = format!("{stem}-{}.js", hash(&script));
        fs::write(output.join(&script_name), script).with_context(|| format!("cannot write {script_name}"))?;
        let snippets = bound.path().join("snippets");
        if snippets.is_dir() {
            folder::copy(&snippets, &output.join("snippets"))?;
        }

        let url = &self.public_url;
        Ok(format!(
            "<link rel=\"modulepreload\" href=\"{url}{script_name}\">\
             <link rel=\"preload\" href=\"{url}{wasm_name}\" as=\"fetch\" type=\"application/wasm\" crossorigin>\
             <script type=\"module\">import init from \"{url}{script_name}\";\
             init({{module_or_path:\"{url}{wasm_name}\"}});</script>\n"
        ))
    }
}

/// Runs `wasm-opt` and returns the path of its output.
fn optimize(wasm_opt: &Path, wasm: &Path, level: Option<&str>, parameters: &[String]) -> Result<PathBuf> {
    let output = wasm.with_extension("opt.wasm");
    let level = level.map(|level| format!("-O{level}"));
    let mut command = Command::new(wasm_opt);
    command.args(level).args(parameters).arg("--output").arg(&output).arg(wasm);
    let status = command.status().with_context(|| format!("cannot start {}", wasm_opt.display()))?;
    ensure!(status.success(), "{} ended with {status}", wasm_opt.display());
    Ok(output)
}

/// Puts the finished folder `new` in the place of `output`.
fn replace(new: TempDir, output: &Path) -> Result<()> {
    if output.exists() {
        fs::remove_dir_all(output).with_context(|| format!("cannot remove {}", output.display()))?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // A temporary folder is for its owner alone.
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755)).context("cannot set permissions")?;
    }
    let new = new.keep();
    fs::rename(&new, output).with_context(|| format!("cannot rename {} to {}", new.display(), output.display()))
}

/// Returns the hash in a file's name: 64 bits of SHA-256 in hex.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest module.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn page(folder: &Path) -> Page {
        fs::write(folder.join("style.css"), "a {}").unwrap();
        fs::write(folder.join("my_page.wasm"), MODULE).unwrap();
        let html = "<head><link data-trunk rel=\"css\" href=\"style.css\"><link data-trunk rel=\"rust\"></head>";
        fs::write(folder.join("index.html"), html).unwrap();
        Page {
            html: folder.join("index.html"),
            wasm: folder.join("my_page.wasm"),
            output: folder.join("out"),
            public_url: "/p/".to_owned(),
            wasm_opt: None,
            #[cfg(feature = "compress")]
            compress: false,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = folder::entries(folder).unwrap().into_iter();
        names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_page_names_each_file_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path());
        page.write().unwrap();
        let html = fs::read_to_string(page.output.join("index.html")).unwrap();
        let files = names(&page.output);
        assert_eq!(files.len(), 4, "{files:?}");
        for name in files.iter().filter(|name| *name != "index.html") {
            assert!(html.contains(&format!("\"/p/{name}\"")), "{name} is not in {html}");
        }
        assert!(files.contains(&format!("style-{}.css", hash(b"a {}"))), "{files:?}");
        assert!(!html.contains("data-trunk"), "{html}");
    }

    #[test]
    fn old_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path());
        fs::create_dir(&page.output).unwrap();
        fs::write(page.output.join("old.js"), "").unwrap();
        page.write().unwrap();
        assert!(!page.output.join("old.js").exists());
    }

    #[test]
    fn a_failed_build_keeps_the_old_page() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path());
        page.write().unwrap();
        let before = names(&page.output);
        fs::remove_file(folder.path().join("style.css")).unwrap();
        assert!(page.write().is_err());
        assert_eq!(names(&page.output), before);
        assert!(names(folder.path()).iter().all(|name| !name.starts_with(".new-")));
    }
}
