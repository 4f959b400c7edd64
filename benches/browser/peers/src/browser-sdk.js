// OpenTelemetry's browser SDK with the fetch instrumentation and its event instrumentations.
import { ErrorsInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/errors";
import { NavigationInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/navigation";
import { NavigationTimingInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/navigation-timing";
import { ResourceTimingInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/resource-timing";
import { UserActionInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/user-action";
import { WebVitalsInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/web-vitals";
import { quickStartBrowserSdk } from "@opentelemetry/browser-sdk";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { FetchInstrumentation } from "@opentelemetry/instrumentation-fetch";

export function start(base) {
  quickStartBrowserSdk({ serviceName: "bench", exportUrl: base });
  registerInstrumentations({
    instrumentations: [
      new ErrorsInstrumentation(),
      new FetchInstrumentation({ ignoreUrls: [`${base}/v1/traces`, `${base}/v1/logs`] }),
      new NavigationInstrumentation(),
      new NavigationTimingInstrumentation(),
      new ResourceTimingInstrumentation(),
      new UserActionInstrumentation(),
      new WebVitalsInstrumentation(),
    ],
  });
}
