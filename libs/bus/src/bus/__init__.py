"""JetStream the way Everthread uses it: fenced run log, attach, subscriber, dead letters, reconcile."""
