import { Component, type ReactNode } from "react";

interface Props {
  what: string;
  children: ReactNode;
}

/** Keeps a mistake of ours where it happened: the rest of the page works on, and nothing that was sent is lost. */
export class Boundary extends Component<Props, { error: Error | null }> {
  state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <div className="empty" role="alert">
        <h1>{this.props.what} made a mistake</h1>
        <p>Answers go on at the server, and drafts are kept in this browser. Load the page again to go on.</p>
        <p>
          <code>{error.message}</code>
        </p>
        <button type="button" className="primary" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    );
  }
}
