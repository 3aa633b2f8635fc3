"""The interface to the operating system: files, locks, signals, output, errors."""
