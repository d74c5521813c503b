import { get, type Model } from "./api";
import { offers } from "./session";
import { kept, Store, useStore } from "./store";

export interface Agent {
  id: string;
  name: string;
  description?: string;
}

export interface Choice {
  models: Model[];
  fallback: string;
  agents: Agent[];
}

export const choice = new Store<Choice>({ models: [], fallback: "", agents: [] });
export const useChoice = () => useStore(choice);

/** The model that new messages are sent to; empty: the thread's own, or the default. */
export const chosenModel = new Store<string>(kept.get("model", ""));
export const chosenAgent = new Store<string>(kept.get("agent", ""));
chosenModel.subscribe(() => kept.set("model", chosenModel.get()));
chosenAgent.subscribe(() => kept.set("agent", chosenAgent.get()));

export async function loadChoice(): Promise<void> {
  const list = await get<{ items: Model[]; default: string }>("/v1/models");
  let agents: Agent[] = [];
  if (offers("GET /v1/agents")) {
    const found = await get<{ items: Array<Partial<Agent> & Record<string, unknown>> }>("/v1/agents").catch(() => ({ items: [] }));
    agents = found.items.map((item) => ({
      id: String(item.id ?? item.name),
      name: String(item.name ?? item.id),
      description: item.description as string | undefined,
    }));
  }
  choice.set({ models: list.items.filter((model) => model.available), fallback: list.default, agents });
  if (!list.items.some((model) => model.available && model.id === chosenModel.get())) chosenModel.set("");
}
