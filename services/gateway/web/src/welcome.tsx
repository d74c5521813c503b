import { Composer } from "./chat/composer";
import { ApiError, make } from "./lib/api";
import { chosenAgent, chosenModel } from "./lib/models";
import { openThread } from "./lib/router";

const STARTERS = [
  ["Explain", "Explain how a tide works, in five sentences."],
  ["Write", "Write a short story about a lighthouse that answers letters."],
  ["Plan", "Plan a weekend in a city that I do not know: what would you ask me first?"],
  ["Code", "Write a Python function that merges overlapping intervals, with a test."],
] as const;

/** The chat that was made for a message of which nobody said yet that it is accepted. */
let begun = { of: "", id: "" };

/** A chat whose first message is sent later. */
async function beginLater(text: string, at: Date): Promise<void> {
  const [model, agent] = [chosenModel.get(), chosenAgent.get()];
  const id = begun.of === text ? begun.id : (await make<{ id: string }>("/v1/threads", {})).id;
  begun = { of: text, id };
  const message = { content: text, run_at: at.toISOString(), ...(model ? { model } : {}), ...(agent ? { agent } : {}) };
  try {
    await make(`/v1/threads/${id}/messages`, message);
  } catch (error) {
    // It was deleted meanwhile, or is somebody else's.
    if (error instanceof ApiError && error.status === 404) begun.of = "";
    throw error;
  }
  begun.of = "";
  openThread(id);
}

/** A new chat. */
export function Welcome({ onSend }: { onSend: (text: string) => void }) {
  return (
    <>
      <div className="scroller">
        <div className="column welcome">
          <h2>What would you like to know?</h2>
          <p>An answer, once accepted, always finishes. Close this tab, open another device, come back: it is there.</p>
          <div className="starters">
            {STARTERS.map(([name, text]) => (
              <button type="button" key={name} onClick={() => onSend(text)}>
                <strong>{name}</strong>
                <span>{text}</span>
              </button>
            ))}
          </div>
        </div>
      </div>
      <div className="dock">
        <div className="column">
          <Composer of="new" busy={false} stopping={false} onSend={onSend} onStop={() => {}} onLater={beginLater} />
        </div>
      </div>
    </>
  );
}
