// @durable-streams' own conformance suite against EVERTHREAD_STREAMS; which of its tests run is the caller's choice (-t).
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({ baseUrl: process.env.EVERTHREAD_STREAMS, longPollTimeoutMs: 2000 });
