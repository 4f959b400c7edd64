//! A small page without a framework: a counter, a list, and a button that fetches JSON and shows it.

use std::{cell::Cell, rc::Rc};

use gloo_net::Error;
#[cfg(feature = "traced")]
use throughline_bench_tracer::get;
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Document, Element, HtmlElement};

#[cfg(not(feature = "traced"))]
async fn get(url: &str) -> Result<gloo_net::http::Response, Error> {
    gloo_net::http::Request::get(url).send().await
}

fn main() -> Result<(), JsValue> {
    #[cfg(feature = "traced")]
    throughline_bench_tracer::start();
    let document = web_sys::window().and_then(|window| window.document()).ok_or("the window has no document")?;
    let body = document.body().ok_or("the document has no body")?;
    counter(&document, &body)?;
    list(&document, &body)?;
    fetched_data(&document, &body)?;
    #[cfg(feature = "traced")]
    throughline_bench_tracer::app_ready();
    Ok(())
}

fn counter(document: &Document, parent: &Element) -> Result<(), JsValue> {
    let shown = append(document, parent, "output", "0")?;
    let count = Cell::new(0_u32);
    button(document, parent, "Count", move || {
        count.set(count.get() + 1);
        shown.set_text_content(Some(&count.get().to_string()));
    })
}

fn list(document: &Document, parent: &Element) -> Result<(), JsValue> {
    let list = append(document, parent, "ul", "")?;
    let length = Cell::new(0_u32);
    let page = document.clone();
    button(document, parent, "Add", move || {
        length.set(length.get() + 1);
        // infallible: the document exists as long as its buttons can be clicked.
        let _ = append(&page, &list, "li", &format!("Item {}", length.get()));
    })
}

fn fetched_data(document: &Document, parent: &Element) -> Result<(), JsValue> {
    let shown = Rc::new(append(document, parent, "pre", "")?);
    button(document, parent, "Fetch", move || {
        let shown = Rc::clone(&shown);
        spawn_local(async move {
            let text = body("/data").await.unwrap_or_else(|error| error.to_string());
            shown.set_text_content(Some(&text));
        });
    })
}

async fn body(url: &str) -> Result<String, Error> {
    get(url).await?.text().await
}

fn append(document: &Document, parent: &Element, tag: &str, text: &str) -> Result<Element, JsValue> {
    let element = document.create_element(tag)?;
    element.set_text_content(Some(text));
    parent.append_child(&element)?;
    Ok(element)
}

fn button(document: &Document, parent: &Element, label: &str, on_click: impl Fn() + 'static) -> Result<(), JsValue> {
    let on_click = Closure::<dyn Fn()>::new(on_click).into_js_value();
    let button: HtmlElement = append(document, parent, "button", label)?.unchecked_into();
    button.set_onclick(Some(on_click.unchecked_ref()));
    Ok(())
}
