"""`task bench:peers`: Everthread beside what a team would use otherwise."""
