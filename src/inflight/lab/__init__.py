"""The main job on one machine: emulated inference servers, the load on them, and two fleets side by side."""
