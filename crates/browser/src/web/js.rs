//! The browser, by name.
//!
//! Each function of web-sys that is used costs the page an import and a piece of JavaScript glue, some 45 bytes compressed;
//! a property that is asked for by name costs its name. So nearly everything here goes through `Reflect`, with all names in one
//! list, and the browser calls back through one function.

use std::cell::Cell;

use js_sys::{Array, Function, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

/// Names of properties and methods, and other words that are said to the browser: those that are always needed, and those of
/// what can be left out.
macro_rules! names {
    ({ $($core:ident = $core_text:literal,)* } { $($more:ident = $more_text:literal,)* }) => {
        #[derive(Clone, Copy)]
        #[allow(dead_code, clippy::enum_variant_names, reason = "as the browser has them; what is left out needs fewer")]
        pub(super) enum Name { $($core,)* $($more),* }

        const NAMES: &str = concat!($($core_text, ",",)* "");
        #[cfg(any(feature = "actions", feature = "errors", feature = "navigation", feature = "offline", feature = "resources",
            feature = "vitals", feature = "xhr"))]
        const MORE_NAMES: &str = concat!($($more_text, ",",)* "");
    };
}

names! {
    {
        Aborted = "aborted", ActivationStart = "activationStart",
        Add = "addEventListener", Apply = "apply", Assign = "assign", Baggage = "baggage", BaseUri = "baseURI", Beacon = "sendBeacon", Blob = "Blob",
        Body = "body", Brand = "brand", Brands = "brands", ConnectEnd = "connectEnd",
        ConnectStart = "connectStart", Connection = "connection", CrossOriginIsolated = "crossOriginIsolated",
        Crypto = "crypto", Description = "description", Document = "document", DomComplete = "domComplete",
        DomContentLoadedEventEnd = "domContentLoadedEventEnd", DomInteractive = "domInteractive",
        DomainLookupEnd = "domainLookupEnd", DomainLookupStart = "domainLookupStart", EffectiveType = "effectiveType",
        EncodedBodySize = "encodedBodySize", EntryType = "entryType", ExpiresInS = "expires_in_s", Fetch = "fetch",
        FetchStart = "fetchStart", FinalResponseHeadersStart = "finalResponseHeadersStart", First = "0", Get = "get",
        GetEntries = "getEntries", GetEntriesByType = "getEntriesByType", GetItem = "getItem",
        GetRandomValues = "getRandomValues", Headers = "headers", HeadersClass = "Headers", Hostname = "hostname",
        Href = "href", Json = "json", Keepalive = "keepalive", Language = "language", Length = "length", LoadEventEnd = "loadEventEnd",
        LocalStorage = "localStorage", Location = "location", Method = "method", Mobile = "mobile", NameOf = "name",
        Navigator = "navigator", NextHopProtocol = "nextHopProtocol", ObjectClass = "Object", Observe = "observe",
        ObserverClass = "PerformanceObserver", Ok = "ok", OnLine = "onLine", Origin = "origin", Pathname = "pathname",
        Performance = "performance", Persisted = "persisted", Platform = "platform", Port = "port",
        Prerendering = "prerendering", ProxyClass = "Proxy", ReadyState = "readyState",
        RedirectEnd = "redirectEnd", RedirectStart = "redirectStart", RequestClass = "Request",
        RequestStart = "requestStart", ResponseEnd = "responseEnd", ResponseStart = "responseStart",
        ResponseStatus = "responseStatus", Second = "1", SecureConnectionStart = "secureConnectionStart",
        ServerTiming = "serverTiming", Set = "set", SetItem = "setItem", SetTimeout = "setTimeout", Signal = "signal",
        StartTime = "startTime", Status = "status", SupportedEntryTypes = "supportedEntryTypes",
        TakeRecords = "takeRecords", Then = "then", IngestToken = "ingest_token", TimeOrigin = "timeOrigin", TraceParent = "traceparent",
        TransferSize = "transferSize", Type = "type", Url = "url", UrlClass = "URL", UserAgent = "userAgent",
        UserAgentData = "userAgentData", Version = "version", Visibility = "visibilityState",
        WorkerStart = "workerStart",
    }
    {
        BlockedUri = "blockedURI", BlockingDuration = "blockingDuration", Buffered = "buffered", Closest = "closest", Console = "console",
        Detail = "detail", Disposition = "disposition", Duration = "duration",
        DurationThreshold = "durationThreshold", EffectiveDirective = "effectiveDirective", Element = "element",
        Error = "error", ErrorClass = "Error", GetAttribute = "getAttribute", GetEntriesByName = "getEntriesByName",
        HadRecentInput = "hadRecentInput", History = "history", InitiatorType = "initiatorType",
        InteractionCount = "interactionCount", InteractionId = "interactionId", Invoker = "invoker",
        IsTrusted = "isTrusted", LocalName = "localName", Message = "message", Navigation = "navigation",
        Node = "node", ProcessingEnd = "processingEnd", ProcessingStart = "processingStart", Prototype = "prototype", Reason = "reason",
        RemoveItem = "removeItem", Scripts = "scripts", SourceFunctionName = "sourceFunctionName",
        SourceUrl = "sourceURL", Sources = "sources", Src = "src", Stack = "stack", Target = "target",
        TextContent = "textContent", Value = "value",
    }
}

mod numbers {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        // By far the most of what is asked for: in one call instead of three.
        #[wasm_bindgen(js_namespace = Reflect, catch)]
        pub(super) fn get(object: &JsValue, name: &JsValue) -> Result<Option<f64>, JsValue>;
    }
}

thread_local! {
    // Both live as long as the page.
    static NAME_VALUES: Cell<&'static [JsValue]> = const { Cell::new(&[]) };
    static CALL_BACK: Cell<Option<&'static Function>> = const { Cell::new(None) };
}

#[inline(never)]
fn read_names() -> &'static [JsValue] {
    let mut values = Vec::new();
    let mut add = |words: &str| {
        let mut start = 0;
        for (end, byte) in words.bytes().enumerate() {
            if byte == b',' {
                values.push(words.get(start..end).unwrap_or("").into());
                start = end + 1;
            }
        }
    };
    add(NAMES);
    #[cfg(any(
        feature = "actions",
        feature = "errors",
        feature = "navigation",
        feature = "offline",
        feature = "resources",
        feature = "vitals",
        feature = "xhr"
    ))]
    add(MORE_NAMES);
    let values = values.leak();
    NAME_VALUES.replace(values);
    values
}

fn value_of(name: Name) -> Option<&'static JsValue> {
    let mut names = NAME_VALUES.get();
    if names.is_empty() {
        names = read_names();
    }
    names.get(name as usize)
}

/// A name itself. A text from here takes microseconds; these are there already.
pub(super) fn name(name: Name) -> JsValue {
    // infallible: every name is in the list
    value_of(name).cloned().unwrap_or_default()
}

/// A property; undefined where there is none, where `object` is none, and where asking throws.
pub(super) fn get(object: &JsValue, name: Name) -> JsValue {
    // default: undefined, as documented
    value_of(name).and_then(|name| Reflect::get(object, name).ok()).unwrap_or_default()
}

/// A property of the window.
pub(super) fn of_window(name: Name) -> JsValue {
    get(&window(), name)
}

/// Whether a property is true, or as good as true.
pub(super) fn is(object: &JsValue, name: Name) -> bool {
    get(object, name).is_truthy()
}

/// A property that is a number; 0 where it is none.
pub(super) fn number(object: &JsValue, name: Name) -> f64 {
    number_if_any(object, name).unwrap_or(0.0)
}

/// A property that is a number, if there is one. What is no number becomes one, as the browser has it, or is none.
pub(super) fn number_if_any(object: &JsValue, name: Name) -> Option<f64> {
    numbers::get(object, value_of(name)?).ok()?
}

/// A property that is a text with something in it.
pub(super) fn text(object: &JsValue, name: Name) -> Option<String> {
    Some(word(object, name)).filter(|text| !text.is_empty())
}

/// A property that is a text; an empty one where it is none.
pub(super) fn word(object: &JsValue, name: Name) -> String {
    // default: empty, as documented
    get(object, name).as_string().unwrap_or_default()
}

/// Sets a property; an object that does not want it stays as it is.
pub(super) fn set(object: &JsValue, name: Name, value: &JsValue) {
    // best effort: as documented
    let _ = value_of(name).map(|name| Reflect::set(object, name, value));
}

/// A property whose name is asked for too seldom to be in the list.
#[cfg(feature = "xhr")]
pub(super) fn get_named(object: &JsValue, name: &str) -> JsValue {
    // default: undefined where there is none
    Reflect::get(object, &name.into()).unwrap_or_default()
}

/// Sets a property whose name is not known before.
pub(super) fn set_named(object: &JsValue, name: &str, value: &JsValue) {
    // best effort: an object that does not want it stays as it is
    let _ = Reflect::set(object, &name.into(), value);
}

/// An object without properties.
pub(super) fn empty() -> JsValue {
    js_sys::Object::new().into()
}

/// An object with one property.
pub(super) fn object(name: Name, value: &JsValue) -> JsValue {
    let object = empty();
    set(&object, name, value);
    object
}

/// A list of these.
pub(super) fn list(items: &[&JsValue]) -> Array {
    let list = Array::new();
    for item in items {
        list.push(item);
    }
    list
}

/// Calls a method; undefined where there is none, and where it throws.
pub(super) fn call(object: &JsValue, method: Name, arguments: &[&JsValue]) -> JsValue {
    // default: undefined, as documented
    apply(&get(object, method), object, &list(arguments)).unwrap_or_default()
}

/// Calls a function.
///
/// # Errors
/// What it throws.
pub(super) fn apply(function: &JsValue, this: &JsValue, arguments: &Array) -> Result<JsValue, JsValue> {
    Reflect::apply(function.unchecked_ref::<Function>(), this, arguments)
}

/// A new object of a class of the window; undefined where there is none, and where its constructor throws.
pub(super) fn new(class: Name, arguments: &[&JsValue]) -> JsValue {
    // default: undefined, as documented
    Reflect::construct(of_window(class).unchecked_ref::<Function>(), &list(arguments)).unwrap_or_default()
}

pub(super) fn window() -> JsValue {
    js_sys::global().into()
}

/// The items of a list, or of something that may not be one.
pub(super) struct Items {
    list: JsValue,
    next: u32,
    length: u32,
}

pub(super) fn items(list: JsValue) -> Items {
    // Whatever it is, it is asked as a list is; what has no length has none.
    let length = if list.is_object() { number(&list, Name::Length) as u32 } else { 0 };
    Items { list, next: 0, length }
}

impl Items {
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Iterator for Items {
    type Item = JsValue;

    fn next(&mut self) -> Option<JsValue> {
        let index = self.next;
        self.next += 1;
        (index < self.length).then(|| self.list.unchecked_ref::<Array>().get(index))
    }
}

pub(super) fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// What the browser calls back for. The number of one call, request or timer may stand behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(dead_code, reason = "what is left out is not called back for")]
pub(super) enum Tag {
    // What was intercepted comes first: whoever called it waits for what comes of it.
    FetchCalled,
    HistoryCalled,
    ConsoleCalled,
    #[cfg(feature = "xhr")]
    XhrOpened,
    #[cfg(feature = "xhr")]
    XhrHeaderSet,
    #[cfg(feature = "xhr")]
    XhrSent,
    FetchAnswered,
    FetchFailed,
    #[cfg(feature = "xhr")]
    XhrEnded,
    Observed,
    Flush,
    Settle,
    GiveUp,
    Ready,
    Loaded,
    Activated,
    Hidden,
    PageHide,
    PageShow,
    Online,
    Sent,
    SentAtExit,
    IngestTokenCame,
    IngestTokenRead,
    Acted,
    ActedOver,
    Navigated,
    Failed,
    Rejected,
    PolicyViolated,
}

impl Tag {
    /// Whether it is of something that was intercepted.
    pub(super) const fn is_call(tag: u8) -> bool {
        tag < Self::FetchAnswered as u8
    }
}

const TAGS: u32 = 64;

/// What happens when the browser calls back: tag, number, and what it calls back with.
pub(super) type Handler = fn(u8, u32, JsValue, JsValue, JsValue) -> Result<JsValue, JsValue>;

/// Says who is called back.
pub(super) fn on_call_back(handler: Handler) {
    let closure = Closure::<dyn Fn(f64, JsValue, JsValue, JsValue) -> Result<JsValue, JsValue>>::new(
        move |tag: f64, a: JsValue, b: JsValue, c: JsValue| {
            let tag = tag as u64;
            handler((tag % u64::from(TAGS)) as u8, (tag / u64::from(TAGS)) as u32, a, b, c)
        },
    );
    CALL_BACK.replace(Some(Box::leak(Box::new(closure.into_js_value().unchecked_into()))));
}

/// A function for the browser to call back by.
pub(super) fn function(tag: Tag, number: u32) -> JsValue {
    let tag = f64::from(number) * f64::from(TAGS) + f64::from(tag as u8);
    CALL_BACK.get().map_or(JsValue::UNDEFINED, |function| function.bind1(&JsValue::UNDEFINED, &tag.into()).into())
}

/// Calls back in a task of its own after `delay_ms`; whether a timer could be set.
pub(super) fn after(delay_ms: f64, tag: Tag, number: u32) -> bool {
    call(&window(), Name::SetTimeout, &[&function(tag, number), &delay_ms.into()]).is_truthy()
}

/// Calls back at each event, before anybody else hears of it.
pub(super) fn listen(target: &JsValue, event: &str, tag: Tag) {
    call(target, Name::Add, &[&event.into(), &function(tag, 0), &JsValue::TRUE]);
}

/// Puts a stand-in in the place of a method, which calls back with the method itself, `this` and the arguments. It looks like
/// the method in every other way.
pub(super) fn intercept(object: &JsValue, method: &str, tag: Tag) {
    let method = method.into();
    // default: undefined is no function
    let original = Reflect::get(object, &method).unwrap_or_default();
    if original.is_function() {
        let stand_in = new(Name::ProxyClass, &[&original, &self::object(Name::Apply, &function(tag, 0))]);
        if stand_in.is_function() {
            // best effort: a method that cannot be replaced stays, and its calls are not traced
            let _ = Reflect::set(object, &method, &stand_in);
        }
    }
}

/// What comes of a promise, kept or broken; undefined if it is none.
pub(super) fn then(promise: &JsValue, kept: &JsValue, broken: &JsValue) -> JsValue {
    call(promise, Name::Then, &[kept, broken])
}
