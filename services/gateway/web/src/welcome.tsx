import { Composer } from "./chat/composer";

const STARTERS = [
  ["Explain", "Explain how a tide works, in five sentences."],
  ["Write", "Write a short story about a lighthouse that answers letters."],
  ["Plan", "Plan a weekend in a city that I do not know: what would you ask me first?"],
  ["Code", "Write a Python function that merges overlapping intervals, with a test."],
] as const;

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
          <Composer of="new" busy={false} stopping={false} onSend={onSend} onStop={() => {}} />
        </div>
      </div>
    </>
  );
}
