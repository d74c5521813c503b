import { useState } from "react";
import { post, type Page } from "../lib/api";
import { say } from "../lib/toast";
import { offers } from "../lib/session";
import type { DeadLetter } from "./api";
import { useLoad } from "./load";
import { Table, View, When } from "./parts";

const RETRY = "POST /v1/admin/dead-letters/{sequence}/retry";

/** What was given up, why, and a way to have it delivered again. */
export function DeadLetters() {
  const loaded = useLoad<Pick<Page<DeadLetter>, "items">>("/v1/admin/dead-letters?limit=100", 5);
  const [busy, setBusy] = useState(0);
  const retry = async (letter: DeadLetter) => {
    setBusy(letter.sequence);
    try {
      await post(`/v1/admin/dead-letters/${letter.sequence}/retry`);
      say(`Dead letter ${letter.sequence} is delivered again.`);
    } catch (error) {
      say((error as Error).message);
    } finally {
      setBusy(0);
      loaded.again();
    }
  };
  return (
    <View title="Dead letters" loaded={loaded}>
      {({ items }) => (
        <Table
          label="Dead letters"
          empty={items.length === 0 && "Nothing was given up."}
          head={
            <>
              <th className="number">No.</th>
              <th>At</th>
              <th>Consumer</th>
              <th>Subject</th>
              <th className="number">Deliveries</th>
              <th>Reason</th>
              <th>
                <span className="unseen">What to do</span>
              </th>
            </>
          }
        >
          {items.map((letter) => (
            <tr key={letter.sequence} data-letter={letter.sequence}>
              <td className="number">{letter.sequence}</td>
              <td>
                <When at={letter.at} />
              </td>
              <td>
                <code>{letter.consumer}</code> <small>{letter.stream}</small>
              </td>
              <td>
                <code>{letter.subject}</code>
              </td>
              <td className="number">{letter.delivered}</td>
              <td className="reason">{letter.reason}</td>
              <td>
                {offers(RETRY) && (
                  <button type="button" disabled={busy === letter.sequence} aria-label={`Retry ${letter.sequence}`} onClick={() => void retry(letter)}>
                    Retry
                  </button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </View>
  );
}
