import { ago, duration } from "../lib/format";
import type { Workers } from "./api";
import { useLoad } from "./load";
import { Meter, Table, View, Warning, When, or } from "./parts";

/** Heartbeats older than this are told in words. */
const LATE = 10_000;

export function WorkersView() {
  const loaded = useLoad<Workers>("/v1/admin/workers", 2);
  return (
    <View title="Workers" loaded={loaded}>
      {({ items, warnings }) => (
        <>
          {warnings.map((warning) => (
            <Warning key={warning}>{warning}</Warning>
          ))}
          <Table
            label="Workers"
            empty={items.length === 0 && "No process has told that it is there."}
            head={
              <>
                <th>Name</th>
                <th>Kind</th>
                <th>Version</th>
                <th>Heartbeat</th>
                <th>Started</th>
                <th className="number">Slots in use</th>
                <th className="wide">
                  <span className="unseen">Share of its slots</span>
                </th>
              </>
            }
          >
            {items.map((worker) => {
              const silent = loaded.at - Date.parse(worker.seen_at);
              return (
                <tr key={`${worker.kind} ${worker.name}`} data-worker={worker.name}>
                  <td>
                    <code>{worker.name}</code>
                  </td>
                  <td>{worker.kind}</td>
                  <td>{or(worker.version)}</td>
                  <td className={silent > LATE ? "bad" : undefined} title={worker.seen_at}>
                    {silent > LATE ? `silent for ${duration(silent)}` : `${duration(Math.max(0, Math.round(silent / 1000) * 1000))} ago`}
                  </td>
                  <td>
                    <When at={worker.started_at} /> <small>{ago(worker.started_at, loaded.at)}</small>
                  </td>
                  <td className="number">{worker.slots ? `${worker.slots_in_use ?? 0} of ${worker.slots}` : "–"}</td>
                  <td className="wide">{worker.slots ? <Meter value={worker.slots_in_use ?? 0} most={worker.slots} label={`Slots of ${worker.name}`} /> : null}</td>
                </tr>
              );
            })}
          </Table>
        </>
      )}
    </View>
  );
}
