"""MongoDB the way Everthread uses it: client, transactions, outbox and relay."""
