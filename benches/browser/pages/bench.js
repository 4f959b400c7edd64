// The functions of the benchmark's page that the runner calls through `window.bench`.

// The number of concurrent requests.
const LANES = 8;
// The same as for OpenTelemetry JS in this benchmark; the default of both is 5 s.
const FLUSH_INTERVAL_MS = 1000;
// A path below the page's origin: Dash0 does not trace requests whose URLs start with that of its own endpoint.
const RECEIVERS = `${location.origin}/telemetry`;
// The number of spans created at once, well below the size of any queue.
const BURST = 200;

let probe;
let memory;
let get = (url) => fetch(url).then((response) => response.text());

// Loads and starts a tracer; returns the duration of each in milliseconds.
async function load(variant) {
  const before = performance.now();
  let start = () => {};
  if (variant === "ours") {
    probe = await import("/probe/probe.js");
    memory = (await probe.default()).memory;
    start = () => probe.start(RECEIVERS, FLUSH_INTERVAL_MS);
    if (!probe.patches_fetch()) {
      get = probe.get;
    }
  } else if (variant !== "untraced") {
    const peer = await import(`/peers/${variant}.js`);
    start = () => peer.start(RECEIVERS);
  }
  const loaded = performance.now();
  start();
  const started = performance.now();
  probe?.ready();
  return { load_ms: loaded - before, start_ms: started - loaded };
}

// Fetches `count` resources from `/data/{from}` on, and reads the bodies.
async function fetches(from, count) {
  let next = from;
  const lane = async () => {
    while (next < from + count) {
      await get(`/data/${next++}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

// Creates `spans` spans, `requests` of them by requests from number `from` on, in bursts; the page handles its tasks in between.
async function live(from, spans, requests) {
  const bursts = Math.ceil(spans / BURST);
  let fetched = 0;
  let made = 0;
  for (let burst = 1; burst <= bursts; burst++) {
    const fetch = Math.round((requests * burst) / bursts) - fetched;
    const make = Math.round((spans * burst) / bursts) - fetched - made - fetch;
    await Promise.all([probe.spans("life", make), fetches(from + fetched, fetch)]);
    fetched += fetch;
    made += make;
    await new Promise((resolve) => setTimeout(resolve));
  }
  return { fetched, made };
}

// Returns the tracer's own counters.
function state() {
  return { dropped: probe.dropped(), wasm_bytes: memory.buffer.byteLength };
}

window.bench = { fetches, flush: () => probe.flush(), live, load, state };
