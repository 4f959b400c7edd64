// Dash0's web SDK as its guide has it; every instrumentation is on by default.
import { init } from "@dash0/sdk-web";

export function start(base) {
  init({ serviceName: "bench", endpoint: { url: base, authToken: "none" } });
}
