// A page that makes spans and is gone at once: `?page=<number>&how=close|navigate`.

import init, { get, patches_fetch, ready, span, start } from "/probe/probe.js";

// Longer than the page lives: what arrives was sent on its way out.
const FLUSH_INTERVAL_MS = 5000;

const parameters = new URLSearchParams(location.search);
const page = parameters.get("page");

await init();
start(`${location.origin}/telemetry`, FLUSH_INTERVAL_MS);
ready();
if (patches_fetch()) {
  await (await fetch(`/data/${page}`)).text();
} else {
  await get(`/data/${page}`);
}
await span(`page ${page}`);
if (parameters.get("how") === "navigate") {
  location.href = `/gone?page=${page}`;
} else {
  // The runner closes the page when it hears of this.
  navigator.sendBeacon(`/made/${page}`);
}
