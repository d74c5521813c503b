/** When a message is to be answered; loaded when somebody asks. */
import { useState } from "react";
import { fieldValue, moment, ownZone, suggestions } from "../lib/moments";

export default function Later({ ready, onChoose, onRepeat }: { ready: boolean; onChoose: (at: Date) => void; onRepeat?: () => void }) {
  const [chosen, setChosen] = useState(() => fieldValue(suggestions()[0]![1]));
  const [error, setError] = useState("");
  return (
    <>
      <p className="label">Send later</p>
      {ready ? (
        <>
          {suggestions().map(([name, at]) => (
            <button type="button" key={name} onClick={() => onChoose(at)}>
              <strong>{name}</strong>
              <small>{moment(at.getTime())}</small>
            </button>
          ))}
          <form
            onSubmit={(event) => {
              event.preventDefault();
              const at = new Date(chosen);
              if (at.getTime() > Date.now()) onChoose(at);
              else setError("That moment has passed; choose a later one.");
            }}
          >
            <label>
              At another time ({ownZone()})
              <input type="datetime-local" required value={chosen} onChange={(event) => setChosen(event.target.value)} />
            </label>
            {error && <small role="alert">{error}</small>}
            <button type="submit" className="primary">
              Send then
            </button>
          </form>
        </>
      ) : (
        <p className="hint">Write a message first; then choose here when it is sent.</p>
      )}
      {onRepeat && (
        <button type="button" onClick={onRepeat}>
          <strong>Again and again…</strong>
          <small>messages by a timetable</small>
        </button>
      )}
    </>
  );
}
