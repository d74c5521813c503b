import { useSyncExternalStore } from "react";

/** A value with listeners. Replace it, never change it in place. */
export class Store<T> {
  #value: T;
  #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get = (): T => this.#value;

  set(value: T | ((before: T) => T)): void {
    const next = typeof value === "function" ? (value as (before: T) => T)(this.#value) : value;
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    for (const listener of this.#listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export const useStore = <T>(store: Store<T>): T => useSyncExternalStore(store.subscribe, store.get);

/** What this browser keeps. A full or forbidden storage is no reason to fail: then it is forgotten. */
export const kept = {
  get<T>(key: string, otherwise: T): T {
    try {
      const text = localStorage.getItem(`everthread.${key}`);
      return text === null ? otherwise : (JSON.parse(text) as T);
    } catch {
      return otherwise;
    }
  },
  set(key: string, value: unknown): void {
    try {
      if (value === undefined) localStorage.removeItem(`everthread.${key}`);
      else localStorage.setItem(`everthread.${key}`, JSON.stringify(value));
    } catch {
      // Private windows and full disks: the page works without.
    }
  },
};
