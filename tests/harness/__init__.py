"""Private stores and servers for tests, the demo and benchmarks. Standard library only."""
