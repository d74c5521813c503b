"""What a process does before its first message: settings, telemetry, logging, health, drain."""
