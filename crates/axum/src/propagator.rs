//! Trace context and baggage for every instrumentation of the process.
