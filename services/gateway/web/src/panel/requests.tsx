import { useState } from "react";
import { CodeBlock } from "../chat/code";
import { choice } from "../lib/models";

/** The same thing from elsewhere: each can be pasted as it is, with a token in EVERTHREAD_TOKEN. */
const CLIENTS = ["AI SDK", "OpenAI", "AG-UI", "NATS", "curl"] as const;
type Client = (typeof CLIENTS)[number];

function snippet(client: Client, thread: string, run: string): [string, string] {
  const url = location.origin;
  switch (client) {
    case "AI SDK":
      return [
        "tsx",
        `import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const { messages, sendMessage, resumeStream } = useChat({
  id: "${thread}",
  resume: true, // joins the answer that is being written
  transport: new DefaultChatTransport({
    api: "${url}/api/chat",
    headers: { Authorization: \`Bearer \${token}\` },
  }),
});`,
      ];
    case "OpenAI":
      return [
        "python",
        `import os
from openai import OpenAI

client = OpenAI(base_url="${url}/openai/v1", api_key=os.environ["EVERTHREAD_TOKEN"])
response = client.responses.create(model="${choice.get().fallback}", input="Hello", background=True)
# Later, from anywhere: the whole answer again, or what is still to come.
for event in client.responses.retrieve(response.id, stream=True):
    print(event.type)`,
      ];
    case "AG-UI":
      return [
        "ts",
        `import { HttpAgent } from "@ag-ui/client";

const agent = new HttpAgent({
  url: "${url}/agui/run",
  threadId: "${thread}",
  headers: { Authorization: \`Bearer \${token}\` },
});
agent.messages = [{ id: crypto.randomUUID(), role: "user", content: "Hello" }];
await agent.runAgent({}, { onTextMessageContentEvent: ({ event }) => console.log(event.delta) });`,
      ];
    case "NATS":
      return [
        "bash",
        `# Stored, then republished: every event of the thread as it is written (NATS_URL: a user of this mesh).
nats sub "live.run.${thread}.*.event"
# The past of one run, from the stream:
nats stream get RUNS --last-for "run.${thread}.${run}.snapshot"`,
      ];
    case "curl":
      return [
        "bash",
        `curl -N ${url}/v1/runs/${run}/events \\
  -H "authorization: Bearer $EVERTHREAD_TOKEN" \\
  -H "last-event-id: 0-0"    # the id of the last event you saw

curl -XPOST ${url}/v1/threads/${thread}/messages \\
  -H "authorization: Bearer $EVERTHREAD_TOKEN" -H "content-type: application/json" \\
  -H "idempotency-key: $(uuidgen)" -d '{"content": "Go on."}'

curl -XPOST ${url}/v1/runs/${run}/cancel -H "authorization: Bearer $EVERTHREAD_TOKEN"`,
      ];
  }
}

export function Requests({ thread, run }: { thread: string | null; run: string | null }) {
  const [client, setClient] = useState<Client>("AI SDK");
  const [language, text] = snippet(client, thread ?? "THREAD", run ?? "RUN");
  return (
    <>
      <div className="row choices" role="group" aria-label="Client">
        {CLIENTS.map((name) => (
          <button type="button" key={name} aria-pressed={client === name} className="quiet" onClick={() => setClient(name)}>
            {name}
          </button>
        ))}
      </div>
      <CodeBlock text={text} language={language} growing={false} />
      <p className="hint">
        In development a token is printed by <code>everthread token --user demo</code>.
      </p>
    </>
  );
}
