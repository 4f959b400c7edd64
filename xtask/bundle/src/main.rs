//! Turns a compiled WASM program and its `index.html` into the files that a server embeds.
//!
//! This is what `trunk build` does for the pages of this repository, without Trunk and without the command line of wasm-bindgen,
//! which take 10 minutes to compile on two cores. `cargo xtask` compiles and calls this program. It is a package of its own so
//! that `cargo xtask` starts before wasm-bindgen is compiled.

#[cfg(feature = "compress")]
mod compress;
mod folder;
mod html;
mod page;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write a page: HTML, style sheets, icon, JavaScript and WASM, with hashes in their names
    Page(Page),
    /// Print the number of bytes of files with brotli, quality 11
    #[cfg(feature = "compress")]
    Brotli {
        /// The files
        files: Vec<PathBuf>,
    },
}

/// The inputs and the output of a page.
#[derive(Args)]
pub(crate) struct Page {
    /// The page's `index.html`, with the `data-trunk` links of Trunk
    #[arg(long)]
    html: PathBuf,
    /// The compiled program
    #[arg(long)]
    wasm: PathBuf,
    /// The folder to write; everything in it is replaced
    #[arg(long)]
    output: PathBuf,
    /// The URL prefix of the page's files, with a slash at its end
    #[arg(long, default_value = "/")]
    public_url: String,
    /// The `wasm-opt` that optimizes the program; without it, the program is bundled as compiled
    #[arg(long)]
    wasm_opt: Option<PathBuf>,
    /// Add copies compressed with brotli and gzip
    #[cfg(feature = "compress")]
    #[arg(long)]
    compress: bool,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Page(page) => page.write(),
        #[cfg(feature = "compress")]
        Task::Brotli { files } => files.iter().try_for_each(|file| {
            println!("{}", compress::brotli_bytes(file)?);
            Ok(())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
