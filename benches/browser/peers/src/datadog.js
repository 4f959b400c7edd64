// Datadog's real user monitoring, configured as in its guide, with tracing of the page's own origin.
import { datadogRum } from "@datadog/browser-rum";

export function start(base) {
  datadogRum.init({
    allowedTracingUrls: [location.origin],
    applicationId: "none",
    clientToken: "none",
    proxy: `${base}/rum`,
    service: "bench",
    sessionReplaySampleRate: 0,
    sessionSampleRate: 100,
    trackResources: true,
    trackUserInteractions: true,
  });
}
