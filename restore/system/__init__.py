"""The machine: files that are written whole, devices, memory, and where what ships lies."""
