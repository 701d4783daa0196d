"""What is looked at, a module for each part of the suite; see README.md."""
