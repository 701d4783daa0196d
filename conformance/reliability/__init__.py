"""What an autoscaler is told in each data fault, and what it does then: guard, floor and the exact engine over a plant
of pods with queues, in model time. `python conformance/reliability --help` is the one command.
"""
