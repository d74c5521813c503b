import { Icon } from "./icons";
import { useSession } from "./session";

/** To a trace in the viewer of this installation; nothing where there is none, or where the trace is not recorded. */
export function TraceLink({ id, children }: { id: string | null | undefined; children: string }) {
  const { traceUrl } = useSession();
  if (!traceUrl || !id || !/^[0-9a-f]{32}$/.test(id)) return null;
  return (
    <a className="trace" href={traceUrl.replaceAll("{trace_id}", id)} target="_blank" rel="noopener noreferrer" title={`Trace ${id}, in the trace viewer`}>
      {children} <Icon name="out" size={12} />
    </a>
  );
}
