"""Runs the conformance suites against an evhub binary. Standard library only, any operating system."""
