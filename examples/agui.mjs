// AG-UI's own HttpAgent: a run is left in mid-answer and gone on with at its events, which its protocol does not have yet.
//
//   cd examples && npm install --legacy-peer-deps
//   EVERTHREAD_URL=http://127.0.0.1:8080 EVERTHREAD_TOKEN=… node agui.mjs "Tell me about lighthouses."
import { HttpAgent } from "@ag-ui/client";

const url = process.env.EVERTHREAD_URL ?? "http://127.0.0.1:8080";
const headers = { authorization: `Bearer ${process.env.EVERTHREAD_TOKEN}` };
const question = process.argv[2] ?? "Tell me about lighthouses.";

// The agent's POST; for a run that is known already, a GET of its events.
let run;
const agent = new HttpAgent({ url: `${url}/agui/run`, headers, threadId: crypto.randomUUID() });
agent.fetch = (address, init) =>
  run
    ? fetch(`${url}/agui/runs/${run}/events`, { headers: init.headers, signal: init.signal })
    : fetch(address, init);
agent.addMessage({ id: crypto.randomUUID(), role: "user", content: question });

const answer = () =>
  agent.messages.map((message) => (message.role === "assistant" ? (message.content ?? "") : "")).join("");

let started;
await agent.runAgent({}, {
  onRunStartedEvent: ({ event }) => {
    started = event.metadata.everthread.run_id;
  },
  onTextMessageContentEvent: () => agent.abortRun(),
});
console.log(`left ${started} after: ${answer()}`);

run = started;
await agent.runAgent({});
console.log(answer());
