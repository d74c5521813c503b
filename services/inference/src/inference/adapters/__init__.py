"""The outside world: the model providers, the conversation service, traces."""
