//! Access to the browser's API by name.
//!
//! Each function of web-sys adds an import and JavaScript glue to the page, about 45 bytes compressed; a property that
//! is read by name adds only its name. So nearly all access goes through `Reflect`, with all names in one list, and all
//! callbacks go through one function.

use std::cell::Cell;

use js_sys::{Array, Function, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

/// Defines the names of properties, methods and classes: those that are always needed, and those of optional features.
macro_rules! names {
    ({ $($core:ident = $core_text:literal,)* } { $($more:ident = $more_text:literal,)* }) => {
        #[derive(Clone, Copy)]
        #[allow(dead_code, clippy::enum_variant_names, reason = "spelled as in the browser; some are for features only")]
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
        // Most properties that are read are numbers: one call instead of three.
        #[wasm_bindgen(js_namespace = Reflect, catch)]
        pub(super) fn get(object: &JsValue, name: &JsValue) -> Result<Option<f64>, JsValue>;
    }
}

thread_local! {
    // Both are leaked and live as long as the page.
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

/// Returns a name as a JavaScript string. The strings are cached, because converting one takes microseconds.
pub(super) fn name(name: Name) -> JsValue {
    // infallible: every name is in the list
    value_of(name).cloned().unwrap_or_default()
}

/// Returns a property; undefined if it does not exist, if `object` is not an object, or if the getter throws.
pub(super) fn get(object: &JsValue, name: Name) -> JsValue {
    // default: undefined, as documented
    value_of(name).and_then(|name| Reflect::get(object, name).ok()).unwrap_or_default()
}

/// Returns a property of the window.
pub(super) fn of_window(name: Name) -> JsValue {
    get(&window(), name)
}

/// Returns whether a property is truthy.
pub(super) fn is(object: &JsValue, name: Name) -> bool {
    get(object, name).is_truthy()
}

/// Returns a property as a number; 0 if it is not a number.
pub(super) fn number(object: &JsValue, name: Name) -> f64 {
    number_if_any(object, name).unwrap_or(0.0)
}

/// Returns a property as a number, converted as JavaScript does; `None` if it does not exist.
pub(super) fn number_if_any(object: &JsValue, name: Name) -> Option<f64> {
    numbers::get(object, value_of(name)?).ok()?
}

/// Returns a property that is a string and not empty.
pub(super) fn text(object: &JsValue, name: Name) -> Option<String> {
    Some(word(object, name)).filter(|text| !text.is_empty())
}

/// Returns a property as a string; empty if it is not a string.
pub(super) fn word(object: &JsValue, name: Name) -> String {
    // default: empty, as documented
    get(object, name).as_string().unwrap_or_default()
}

/// Sets a property; an error is ignored.
pub(super) fn set(object: &JsValue, name: Name, value: &JsValue) {
    // best effort: as documented
    let _ = value_of(name).map(|name| Reflect::set(object, name, value));
}

/// Returns a property whose name is not in the list, because it is rarely read.
#[cfg(feature = "xhr")]
pub(super) fn get_named(object: &JsValue, name: &str) -> JsValue {
    // default: undefined if it does not exist
    Reflect::get(object, &name.into()).unwrap_or_default()
}

/// Sets a property whose name is not in the list; an error is ignored.
pub(super) fn set_named(object: &JsValue, name: &str, value: &JsValue) {
    // best effort: as documented
    let _ = Reflect::set(object, &name.into(), value);
}

/// Creates an object without properties.
pub(super) fn empty() -> JsValue {
    js_sys::Object::new().into()
}

/// Creates an object with one property.
pub(super) fn object(name: Name, value: &JsValue) -> JsValue {
    let object = empty();
    set(&object, name, value);
    object
}

/// Creates an array of `items`.
pub(super) fn list(items: &[&JsValue]) -> Array {
    let list = Array::new();
    for item in items {
        list.push(item);
    }
    list
}

/// Calls a method and returns its result; undefined if it does not exist or throws.
pub(super) fn call(object: &JsValue, method: Name, arguments: &[&JsValue]) -> JsValue {
    // default: undefined, as documented
    apply(&get(object, method), object, &list(arguments)).unwrap_or_default()
}

/// Calls a function.
///
/// # Errors
/// The value that it throws.
pub(super) fn apply(function: &JsValue, this: &JsValue, arguments: &Array) -> Result<JsValue, JsValue> {
    Reflect::apply(function.unchecked_ref::<Function>(), this, arguments)
}

/// Creates an object of a class of the window; undefined if the class does not exist or its constructor throws.
pub(super) fn new(class: Name, arguments: &[&JsValue]) -> JsValue {
    // default: undefined, as documented
    Reflect::construct(of_window(class).unchecked_ref::<Function>(), &list(arguments)).unwrap_or_default()
}

pub(super) fn window() -> JsValue {
    js_sys::global().into()
}

/// An iterator over the items of a JavaScript array, or of any value.
pub(super) struct Items {
    list: JsValue,
    next: u32,
    length: u32,
}

/// Iterates over the items of an array; a value without a length has none.
pub(super) fn items(list: JsValue) -> Items {
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

/// The reason of a callback. It may be accompanied by the number of a call, request or timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(dead_code, reason = "optional features have callbacks of their own")]
pub(super) enum Tag {
    // Intercepted calls come first: their callers need the result.
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
    IngestTokenReceived,
    IngestTokenRead,
    Action,
    ActionOver,
    Navigated,
    Failed,
    Rejected,
    PolicyViolated,
}

impl Tag {
    /// Returns whether it is an intercepted call.
    pub(super) const fn is_call(tag: u8) -> bool {
        tag < Self::FetchAnswered as u8
    }
}

const TAGS: u32 = 64;

/// A handler of callbacks, called with tag, number, and the arguments of the callback.
pub(super) type Handler = fn(u8, u32, JsValue, JsValue, JsValue) -> Result<JsValue, JsValue>;

/// Sets the handler of callbacks.
pub(super) fn on_call_back(handler: Handler) {
    let closure = Closure::<dyn Fn(f64, JsValue, JsValue, JsValue) -> Result<JsValue, JsValue>>::new(
        move |tag: f64, a: JsValue, b: JsValue, c: JsValue| {
            let tag = tag as u64;
            handler((tag % u64::from(TAGS)) as u8, (tag / u64::from(TAGS)) as u32, a, b, c)
        },
    );
    CALL_BACK.replace(Some(Box::leak(Box::new(closure.into_js_value().unchecked_into()))));
}

/// Creates a function that calls the handler with `tag` and `number`.
pub(super) fn function(tag: Tag, number: u32) -> JsValue {
    let tag = f64::from(number) * f64::from(TAGS) + f64::from(tag as u8);
    CALL_BACK.get().map_or(JsValue::UNDEFINED, |function| function.bind1(&JsValue::UNDEFINED, &tag.into()).into())
}

/// Calls the handler in a new task after `delay_ms`; returns whether the timer could be set.
pub(super) fn after(delay_ms: f64, tag: Tag, number: u32) -> bool {
    call(&window(), Name::SetTimeout, &[&function(tag, number), &delay_ms.into()]).is_truthy()
}

/// Calls the handler at each event, in the capture phase.
pub(super) fn listen(target: &JsValue, event: &str, tag: Tag) {
    call(target, Name::Add, &[&event.into(), &function(tag, 0), &JsValue::TRUE]);
}

/// Replaces a method by a proxy that calls the handler with the original method, `this` and the arguments. The proxy
/// has the same properties as the method.
pub(super) fn intercept(object: &JsValue, method: &str, tag: Tag) {
    let method = method.into();
    // default: undefined is not a function
    let original = Reflect::get(object, &method).unwrap_or_default();
    if original.is_function() {
        let stand_in = new(Name::ProxyClass, &[&original, &self::object(Name::Apply, &function(tag, 0))]);
        if stand_in.is_function() {
            // best effort: a method that cannot be replaced is kept, and its calls are not traced
            let _ = Reflect::set(object, &method, &stand_in);
        }
    }
}

/// Calls `promise.then(kept, broken)`; undefined if `promise` is not a promise.
pub(super) fn then(promise: &JsValue, kept: &JsValue, broken: &JsValue) -> JsValue {
    call(promise, Name::Then, &[kept, broken])
}
