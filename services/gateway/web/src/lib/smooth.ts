import { useEffect, useRef, useState } from "react";

/** Never more behind than this, in milliseconds. */
const MOST_BEHIND = 150;

/** Text that comes in bursts, as steady words: what is new is spread over the next frames. At once in a hidden tab, with reduced
 * motion, and when it no longer grows. */
export function useSmooth(text: string, growing: boolean): string {
  const [shown, setShown] = useState(text.length);
  const state = useRef({ shown: text.length, target: text.length, at: 0, frame: 0 });
  useEffect(() => {
    const now = state.current;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!growing || document.hidden || still || text.length < now.shown) {
      cancelAnimationFrame(now.frame);
      now.frame = 0;
      now.shown = now.target = text.length;
      setShown(text.length);
      return;
    }
    now.target = text.length;
    if (now.frame) return;
    now.at = performance.now();
    const step = (time: number) => {
      const behind = now.target - now.shown;
      if (behind <= 0) {
        now.frame = 0;
        return;
      }
      const share = Math.min(1, (time - now.at) / MOST_BEHIND);
      now.at = time;
      // A large backlog (catching up) is one paint.
      now.shown = behind > 400 ? now.target : Math.min(now.target, now.shown + Math.max(1, Math.ceil(behind * share)));
      setShown(now.shown);
      now.frame = requestAnimationFrame(step);
    };
    now.frame = requestAnimationFrame(step);
  }, [text, growing]);
  useEffect(() => {
    const flush = () => {
      if (!document.hidden) return;
      cancelAnimationFrame(state.current.frame);
      state.current.frame = 0;
      state.current.shown = state.current.target;
      setShown(state.current.target);
    };
    document.addEventListener("visibilitychange", flush);
    return () => {
      document.removeEventListener("visibilitychange", flush);
      cancelAnimationFrame(state.current.frame);
      state.current.frame = 0;
    };
  }, []);
  if (!growing || shown >= text.length) return text;
  // Whole characters: half of a pair would be shown as a box.
  const end = shown > 0 && /[\uD800-\uDBFF]/.test(text[shown - 1]!) ? shown + 1 : shown;
  return text.slice(0, end);
}
