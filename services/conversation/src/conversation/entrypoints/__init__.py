"""How conversation is reached: gRPC calls and snapshot deliveries."""
