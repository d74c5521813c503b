import { useState } from "react";
import { post } from "../lib/api";
import { Icon } from "../lib/icons";

/** Demonstration: kills the worker that writes, for anybody to see what happens then. */
export function KillButton({ run }: { run: string }) {
  const [said, setSaid] = useState("");
  return (
    <button
      type="button"
      className="quiet kill"
      title="kill -9 of the process that writes this answer"
      onClick={async () => {
        try {
          const { worker, pid } = await post<{ worker: string; pid: number }>(`/v1/demo/runs/${run}/kill`);
          setSaid(`killed ${worker} (${pid})`);
        } catch (error) {
          setSaid((error as Error).message);
        }
        setTimeout(() => setSaid(""), 4000);
      }}
    >
      <Icon name="bolt" size={14} /> {said || "Kill its worker"}
    </button>
  );
}
