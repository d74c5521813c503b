import { useRef } from "react";
import { compact, modelName, price } from "../lib/format";
import { Icon } from "../lib/icons";
import { chosenAgent, chosenModel, useChoice } from "../lib/models";
import { useStore } from "../lib/store";

/** Which model answers next, with its price and the size of its window; and which agent, where there are some. */
export function Picker() {
  const { models, fallback, agents } = useChoice();
  const chosen = useStore(chosenModel);
  const agent = useStore(chosenAgent);
  const popover = useRef<HTMLDivElement>(null);
  if (!models.length) return <span className="grow" />;
  const current = models.find((model) => model.id === (chosen || fallback));
  const close = () => popover.current?.hidePopover();
  return (
    <div className="picker grow">
      <button type="button" popoverTarget="picker" className="quiet" aria-label={`Model: ${modelName(current?.id ?? fallback)}`}>
        {agent && agents.find((item) => item.id === agent) ? `${agents.find((item) => item.id === agent)!.name} · ` : ""}
        {modelName(current?.id ?? fallback)} <Icon name="down" size={14} />
      </button>
      <div id="picker" popover="auto" ref={popover} className="menu wide" aria-label="Model and agent">
        <p className="label">Model</p>
        {models.map((model) => (
          <button
            type="button"
            key={model.id}
            aria-pressed={model.id === (chosen || fallback)}
            onClick={() => {
              chosenModel.set(model.id === fallback ? "" : model.id);
              close();
            }}
          >
            <span>
              <strong>{modelName(model.id)}</strong> <small>{model.provider}</small>
            </span>
            <small>
              {price(model.prices.input)} in, {price(model.prices.output)} out a million tokens · {compact(model.context_window)} window
            </small>
          </button>
        ))}
        {agents.length > 0 && <p className="label">Agent</p>}
        {agents.map((item) => (
          <button
            type="button"
            key={item.id}
            aria-pressed={item.id === agent}
            onClick={() => {
              chosenAgent.set(item.id === agent ? "" : item.id);
              close();
            }}
          >
            <strong>{item.name}</strong>
            {item.description && <small>{item.description}</small>}
          </button>
        ))}
      </div>
    </div>
  );
}
