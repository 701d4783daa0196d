"""The metrics APIs as a function of a request: paths, parameters, documents, refusals. No sockets, no files, no clock
of its own.
"""
