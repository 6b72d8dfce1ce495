# The vocabulary becomes a C array.
