"""Files to arrays: every format, orientation, bit depth, cropping and resizing."""
