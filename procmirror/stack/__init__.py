"""The stack of a blocked thread: kernel frames, system call, user frames.

Pure, over a "read this memory" function.
"""
