import { useEffect } from "react";
import { Store, useStore } from "./store";

const toast = new Store<{ text: string; at: number } | null>(null);

/** A sentence at the bottom, for some seconds. */
export const say = (text: string): void => toast.set({ text, at: Date.now() });

export function Toast() {
  const now = useStore(toast);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => toast.set(null), 6000);
    return () => clearTimeout(timer);
  }, [now]);
  return (
    <div className="toast" role="alert">
      {now?.text}
    </div>
  );
}
