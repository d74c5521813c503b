"""gRPC code generated from proto/."""
