//! Actions: a click, a key press or a submission is the root of the requests it causes. Its name never contains user input.

use thirtyfour::{By, Key};
use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, Trace};

const KIND: &str = "throughline.action.kind";
const NAME: &str = "throughline.action.name";

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    // From now on no request belongs to the page load.
    site.drain(&browser).await?;
    Ok((site, browser))
}

/// Waits for the trace of the action with this name and a request with the server's span, and returns it.
async fn action(site: &Site, name: &str) -> anyhow::Result<Trace> {
    let is_whole = |trace: &Trace| {
        trace.count(name) == 1
            && trace.spans.iter().any(|span| span.kind == SpanKind::Client && trace.server_span(span).is_some())
    };
    site.api.trace_where(&format!("`{name}` and its request"), is_whole).await
}

/// Returns all actions so far, in order.
async fn actions(site: &Site) -> anyhow::Result<Vec<Span>> {
    let mut spans = site.api.spans(|span| span.has(KIND)).await?;
    spans.sort_by_key(|span| span.start_ns);
    Ok(spans)
}

/// Checks that the root is an action of this kind and name, and that the request is its child.
fn is_action(trace: &Trace, kind: &str, name: &str, request: &str) {
    let root = trace.root();
    assert_eq!(root.name, format!("{kind} {name}"), "{}", outline(trace));
    assert_eq!((root.kind, root.service.as_str()), (SpanKind::Internal, "cruddur-web"));
    assert_eq!((root.text(KIND), root.text(NAME)), (kind, name));
    assert!(root.has("url.path") && root.has("session.id"));
    let child = trace.child(root, request);
    let end_ns = |span: &Span| span.start_ns + span.duration_ns;
    assert!(root.start_ns <= child.start_ns && end_ns(child) <= end_ns(root), "{}", outline(trace));
}

/// Adds an element to the page that runs `then` on `event`.
async fn add(browser: &Browser, html: &str, event: &str, then: &str) -> anyhow::Result<()> {
    let script = format!(
        "const around = document.createElement('div');
         around.innerHTML = arguments[0];
         document.querySelector('main').prepend(around);
         around.firstElementChild.addEventListener('{event}', event => {{ event.preventDefault(); {then} }});"
    );
    browser.eval_with(&script, vec![html.into()]).await?;
    Ok(())
}

#[tokio::test]
async fn a_click_on_like_is_the_root_of_its_request() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.click("button.like[aria-pressed=false]").await?;
    let trace = action(&site, "click Like").await?;
    is_action(&trace, "click", "Like", "PUT /api/activities/{uuid}/like");
    assert_eq!(trace.root().text("url.path"), "/");
    // The action that the application reports replaces the automatic one.
    site.drain(&browser).await?;
    let names: Vec<_> = actions(&site).await?.into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["click Like"]);
    browser.quit().await
}

#[tokio::test]
async fn submitting_by_click_and_by_key_is_an_action_and_the_text_is_not_recorded() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let published = |text: &str| format!("document.querySelector('article.crud .message').innerText == '{text}'");
    let first = "Quokka zqxj-4711 by pointer";
    browser.keys("#compose", first).await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until(&published(first)).await?;
    is_action(&action(&site, "submit Crud").await?, "submit", "Crud", "POST /api/activities");

    let second = "Quokka zqxj-4711 by key";
    let field = browser.driver.find(By::Id("compose")).await?;
    field.send_keys(second).await?;
    field.send_keys(Key::Control + Key::Enter).await?;
    browser.until(&published(second)).await?;
    is_action(&action(&site, "key Crud").await?, "key", "Crud", "POST /api/activities");

    // The text is also the heading of its thread; clicking on it must not record it either.
    browser.click("article.crud .message").await?;
    browser.click("article.crud a.crud-time").await?;
    browser.until("location.pathname.startsWith('/crud/') && document.querySelector('article.crud-main')").await?;
    browser.driver.back().await?;
    browser.until("document.querySelector('main h1').innerText == 'Home'").await?;
    site.drain(&browser).await?;
    assert!(!site.all_records().await?.contains("zqxj"), "the text of a message was recorded");
    browser.quit().await
}

#[tokio::test]
async fn a_click_without_a_request_is_not_an_action() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.click("main h1").await?;
    browser.click("article.crud .message").await?;
    // These two change the page, but send no request.
    browser.click("button.dock-toggle").await?;
    browser.click(".user-menu summary").await?;
    add(&browser, "<button id='idle'>Idle</button>", "click", "").await?;
    browser.click("#idle").await?;
    // A click by a script is not an action, even if it causes a request.
    add(&browser, "<button id='pressed'>Pressed</button>", "click", "fetch('/api/users?by=program');").await?;
    browser.eval("document.getElementById('pressed').click()").await?;
    site.drain(&browser).await?;
    let found = actions(&site).await?;
    assert!(found.is_empty(), "{found:#?}");
    let by_program = site.api.spans(|span| span.text_ends_with("url.full", "by=program")).await?;
    assert_eq!(by_program.len(), 1);
    assert_eq!(by_program[0].parent_span_id, None);
    browser.quit().await
}

#[tokio::test]
async fn an_action_that_the_application_does_not_report_has_a_stable_name() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // In this order: `data-action`, `aria-label`, id, name, the text of a button, the template of the page that a link
    // leads to.
    let cases = [
        ("<button data-action='Say' aria-label='No' id='no'>No</button>", "Say"),
        ("<button aria-label='Hear' id='no' name='no'>No</button>", "Hear"),
        ("<button id='Known' name='no'>No</button>", "Known"),
        ("<button name='Named'>No</button>", "Named"),
        ("<button>Label</button>", "Label"),
        ("<a href='/@andrewbrown?a=b#c'>Text of a user</a>", "a /@{handle}"),
        ("<a href='https://elsewhere.example/@andrewbrown'>Text of a user</a>", "a"),
        ("<a href='/unknown/quokka'>Text of a user</a>", "a"),
    ];
    for (html, name) in cases {
        add(&browser, html, "click", "fetch('/api/users?by=action').then(r => r.text());").await?;
        browser.click("main > div:first-child > *").await?;
        let trace = action(&site, &format!("click {name}")).await?;
        is_action(&trace, "click", name, "GET");
    }
    // By the Enter key on the focused element.
    add(&browser, "<button id='Keyed'>No</button>", "click", "fetch('/api/users?by=key').then(r => r.text());").await?;
    browser.keys("#Keyed", "\n").await?;
    is_action(&action(&site, "key Keyed").await?, "key", "Keyed", "GET");

    // A form, by the Enter key in its field, and by its button.
    let send = "fetch('/api/users?by=form').then(r => r.text());";
    add(&browser, "<form id='Bare'><input name='field' value=''></form>", "submit", send).await?;
    browser.keys("#Bare input", "Quokka zqxj-4712\n").await?;
    is_action(&action(&site, "submit Bare").await?, "submit", "Bare", "GET");
    let form = "<form id='whole'><input name='field'><button id='Send'>Send</button></form>";
    add(&browser, form, "submit", send).await?;
    browser.click("#Send").await?;
    is_action(&action(&site, "submit Send").await?, "submit", "Send", "GET");

    site.drain(&browser).await?;
    assert_eq!(actions(&site).await?.len(), cases.len() + 3);
    let everything = site.all_records().await?;
    assert!(!everything.contains("zqxj") && !everything.contains("Text of a user"));
    browser.quit().await
}

#[tokio::test]
async fn an_action_lasts_until_its_requests_end() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // The response to the first request causes the second one.
    let then =
        "fetch('/api/users?first').then(r => r.text()).then(() => fetch('/api/users?second')).then(r => r.text());";
    add(&browser, "<button id='Twice'>Twice</button>", "click", then).await?;
    browser.click("#Twice").await?;
    let is_first = |span: &Span| span.text_ends_with("url.full", "?first");
    let trace = site
        .api
        .trace_where("`click Twice`", |trace| trace.count("click Twice") == 1 && trace.spans.iter().any(is_first))
        .await?;
    let root = trace.root();
    assert_eq!(root.name, "click Twice");
    let first = trace.one("the first request", is_first);
    assert_eq!(first.parent_span_id.as_ref(), Some(&root.span_id), "{}", outline(&trace));
    assert!(root.start_ns + root.duration_ns >= first.start_ns + first.duration_ns, "{}", outline(&trace));
    // The next click starts a new trace.
    browser.click("#Twice").await?;
    site.drain(&browser).await?;
    let found = actions(&site).await?;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_ne!(found[0].trace_id, found[1].trace_id);
    browser.quit().await
}
