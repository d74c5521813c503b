import { useState } from "react";
import { Icon } from "./icons";

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function CopyButton({ text, label = "Copy", shown = false }: { text: string | (() => string); label?: string; shown?: boolean }) {
  const [state, setState] = useState<"" | "done" | "failed">("");
  return (
    <button
      type="button"
      className="icon"
      title={label}
      aria-label={state === "done" ? "Copied" : state === "failed" ? "Could not copy" : label}
      onClick={async () => {
        setState((await copy(typeof text === "string" ? text : text())) ? "done" : "failed");
        setTimeout(() => setState(""), 1500);
      }}
    >
      <Icon name={state === "done" ? "check" : state === "failed" ? "alert" : "copy"} />
      {shown && <span>{state === "done" ? "Copied" : label}</span>}
    </button>
  );
}
