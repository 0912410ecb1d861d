"""Network families, one a file; the size of the images is an argument of every one."""
