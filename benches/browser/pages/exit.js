// A page that creates spans and is closed or left at once: `?page=<number>&how=close|navigate`.

import init, { get, patches_fetch, ready, span, start } from "/probe/probe.js";

// Longer than the page is open: everything that arrives was sent when it was closed or left.
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
  // The runner closes the page when it receives this.
  navigator.sendBeacon(`/made/${page}`);
}
