// What the benchmark's page does when the runner calls it by `window.bench`.

// So many requests are under way at once.
const LANES = 8;
// As OpenTelemetry JS in this benchmark; the default is 5 s, for both.
const FLUSH_INTERVAL_MS = 1000;
// Below the page's origin: Dash0 does not trace requests to URLs that begin as that of its own endpoint does.
const RECEIVERS = `${location.origin}/telemetry`;
// Spans that are made in one go, well below what any queue holds.
const BURST = 200;

let probe;
let memory;
let get = (url) => fetch(url).then((response) => response.text());

// Loads and starts a tracer; says how long each took, in milliseconds.
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

// Fetches `/data/{from}` and what follows, `count` in all, and reads the bodies.
async function fetches(from, count) {
  let next = from;
  const lane = async () => {
    while (next < from + count) {
      await get(`/data/${next++}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

// Makes `spans` spans, `requests` of them by requests from number `from` on, in bursts between which the page breathes.
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

// What the tracer says about itself.
function state() {
  return { dropped: probe.dropped(), wasm_bytes: memory.buffer.byteLength };
}

window.bench = { fetches, flush: () => probe.flush(), live, load, state };
