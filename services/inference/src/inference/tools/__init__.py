"""Tools that a model may call: what a tool is, how it is chosen, checked and run, and the kinds there are.

`domain` is pure. `ports` is what a tool must offer. `run_tool` carries out one call. `adapters` hold the kinds: Python
functions, built-in ones, services on the mesh, MCP servers.
"""
