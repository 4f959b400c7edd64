//! The `data-trunk` links of an `index.html`.
//!
//! Trunk's format is kept because `trunk serve` is the development loop. Only the links that the pages of this repository use are
//! understood; every other one is an error.

use anyhow::{Context, Result, bail, ensure};

/// One `<link data-trunk …>` of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// `rel="css"` or `rel="icon"`: a file that is copied. Its attributes other than `data-trunk` are kept.
    File {
        /// `href`, relative to the page.
        href: String,
        /// `stylesheet` or `icon`.
        rel: &'static str,
        /// `type`, if there is one.
        kind: Option<String>,
    },
    /// `rel="rust"`: the program.
    Program {
        /// `data-wasm-opt`: the level of optimization, such as `z`.
        level: Option<String>,
        /// `data-wasm-opt-params`: further arguments of `wasm-opt`.
        parameters: Vec<String>,
    },
}

/// Replaces each `<link data-trunk …>` by the text that `replace` returns for it.
///
/// # Errors
///
/// A link that is not closed or not understood, and every error of `replace`.
pub(crate) fn replace_links(html: &str, mut replace: impl FnMut(Link) -> Result<String>) -> Result<String> {
    const START: &str = "<link data-trunk";

    let mut output = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find(START) {
        let (before, link) = rest.split_at(start);
        let (link, after) = link.split_once('>').with_context(|| format!("`{START}` is not closed"))?;
        output.push_str(before);
        output.push_str(&replace(parse(&link[START.len()..])?)?);
        rest = after;
    }
    output.push_str(rest);
    Ok(output)
}

/// Parses the attributes of a link.
fn parse(attributes: &str) -> Result<Link> {
    let rel = attribute(attributes, "rel").context("a `data-trunk` link has no `rel`")?;
    let file = |rel| -> Result<Link> {
        let href = attribute(attributes, "href").with_context(|| format!("the link `rel=\"{rel}\"` has no `href`"))?;
        Ok(Link::File { href, rel, kind: attribute(attributes, "type") })
    };
    match rel.as_str() {
        "css" => file("stylesheet"),
        "icon" => file("icon"),
        "rust" => {
            let parameters = attribute(attributes, "data-wasm-opt-params");
            let words = parameters.iter().flat_map(|words| words.split_whitespace()).map(str::to_owned);
            Ok(Link::Program { level: attribute(attributes, "data-wasm-opt"), parameters: words.collect() })
        }
        other => bail!("the link `rel=\"{other}\"` is not supported; supported are css, icon and rust"),
    }
}

/// Returns the value of `name="…"`.
fn attribute(attributes: &str, name: &str) -> Option<String> {
    let (_, rest) = attributes.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Puts `text` before `</head>`.
pub(crate) fn add_to_head(html: &str, text: &str) -> Result<String> {
    const END: &str = "</head>";
    ensure!(html.matches(END).count() == 1, "expected exactly one `{END}` in the page");
    Ok(html.replacen(END, &format!("{text}{END}"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(html: &str) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        replace_links(html, |link| {
            links.push(link);
            Ok(String::new())
        })?;
        Ok(links)
    }

    #[test]
    fn links_of_every_kind_are_parsed() {
        let html = r#"<link data-trunk rel="icon" type="image/svg+xml" href="i.svg">
            <link rel="canonical" href="/"><link data-trunk rel="css" href="a/b.css">
            <link data-trunk rel="rust" data-bin="x" data-wasm-opt="z" data-wasm-opt-params="--a  --b">"#;
        let file = |href: &str, rel, kind: Option<&str>| Link::File {
            href: href.to_owned(),
            rel,
            kind: kind.map(str::to_owned),
        };
        assert_eq!(
            links(html).unwrap(),
            [
                file("i.svg", "icon", Some("image/svg+xml")),
                file("a/b.css", "stylesheet", None),
                Link::Program { level: Some("z".to_owned()), parameters: vec!["--a".to_owned(), "--b".to_owned()] },
            ]
        );
    }

    #[test]
    fn text_around_links_is_kept() {
        let html = "a<link data-trunk rel=\"css\" href=\"x\">b<link data-trunk rel=\"rust\">c";
        let mut count = 0;
        let replaced = replace_links(html, |_| {
            count += 1;
            Ok(count.to_string())
        });
        assert_eq!(replaced.unwrap(), "a1b2c");
    }

    #[test]
    fn links_that_are_not_supported_are_errors() {
        for html in ["<link data-trunk>", "<link data-trunk rel=\"sass\" href=\"x\">", "<link data-trunk rel=\"css\">"]
        {
            assert!(links(html).is_err(), "{html}");
        }
        assert!(links("<link data-trunk rel=\"css\"").is_err());
    }

    #[test]
    fn the_head_is_extended_at_its_end() {
        assert_eq!(add_to_head("<head>a</head>b", "c").unwrap(), "<head>ac</head>b");
        assert!(add_to_head("<head>", "c").is_err());
    }
}
