"""Number format, memory layout and kernels, chosen by measuring this machine."""
