import { Fragment } from "react";
import { count, duration } from "../lib/format";
import type { Streams } from "./api";
import { useLoad } from "./load";
import { Meter, Table, View, bytes } from "./parts";

/** Lag from which on it is marked, in seconds. */
const LATE = 30;

export function StreamsView() {
  const loaded = useLoad<Streams>("/v1/admin/streams", 3);
  return (
    <View title="Streams and consumers" loaded={loaded}>
      {({ items }) => (
        <Table
          label="Streams and consumers"
          empty={items.length === 0 && "There is no stream."}
          head={
            <>
              <th>Stream, and who reads it</th>
              <th className="number">Messages</th>
              <th className="number">Size</th>
              <th className="number">Of</th>
              <th className="number">Pending</th>
              <th className="number">Unsettled</th>
              <th className="number">Delivered again</th>
              <th className="number">Lag</th>
            </>
          }
        >
          {items.map((stream) => (
            <Fragment key={stream.name}>
              <tr className="group" data-stream={stream.name}>
                <th scope="row" title={stream.why}>
                  {stream.name} <small>{stream.why}</small>
                </th>
                <td className="number">{count(stream.messages)}</td>
                <td className="number">{bytes(stream.bytes)}</td>
                <td className="number">
                  {stream.limit_bytes && stream.limit_bytes > 0 ? (
                    <>
                      {bytes(stream.limit_bytes)} <Meter value={stream.bytes} most={stream.limit_bytes} label={`Size of ${stream.name}`} />
                    </>
                  ) : (
                    "no limit"
                  )}
                </td>
                <td colSpan={4} />
              </tr>
              {stream.consumers.map((consumer) => (
                <tr key={consumer.name} className="member">
                  <td colSpan={4}>
                    <code>{consumer.name}</code>
                  </td>
                  <td className="number">{count(consumer.pending)}</td>
                  <td className="number">{count(consumer.ack_pending)}</td>
                  <td className="number">{count(consumer.redelivered)}</td>
                  <td className={`number ${(consumer.lag_seconds ?? 0) > LATE ? "bad" : ""}`}>{consumer.lag_seconds === null ? "–" : consumer.lag_seconds < 1 ? "none" : duration(consumer.lag_seconds * 1000)}</td>
                </tr>
              ))}
            </Fragment>
          ))}
        </Table>
      )}
    </View>
  );
}
