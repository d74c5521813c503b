"""MongoDB and the bus behind the ports. Built only in bootstrap."""
