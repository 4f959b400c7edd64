// Dash0's web SDK, configured as in its guide; every instrumentation is enabled by default.
import { init } from "@dash0/sdk-web";

export function start(base) {
  init({ serviceName: "bench", endpoint: { url: base, authToken: "none" } });
}
