"""Fleets in model time: the replica model, requests, pods, sensing, and what users got of it.

Pure: values in, values out; randomness is drawn by name from seeded streams. The modules are imported directly.
"""
