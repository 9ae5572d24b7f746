"""The pure ring: values in, values out; no clock, socket, thread, queue, file or log."""
