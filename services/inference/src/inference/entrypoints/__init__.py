"""What comes in from the broker, decoded and handed to a handler."""
