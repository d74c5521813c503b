"""What the gateway knows without talking to anybody."""
