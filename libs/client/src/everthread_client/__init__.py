"""What an internal service installs to publish chat events and to follow runs."""
