"""One file a system: settings, presets, and the function that builds it. Here networks, losses and engine meet."""
