"""HTTP to addresses that somebody else chose: public ones only, looked up once, pinned. See README.md."""
