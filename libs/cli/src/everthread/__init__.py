"""The everthread command: run the mesh on one machine and talk to it."""
