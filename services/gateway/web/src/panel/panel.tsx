export default function Panel() {
  return <aside className="panel" aria-label="Developer panel" />;
}
