"""Executes a run: context, model calls, cancellation, takeover."""
