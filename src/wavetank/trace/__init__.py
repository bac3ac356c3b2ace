"""The trace: the ordered record of what happened in a run.

`schema` says what a record is and how it is packed, `digest` what identifies a run, `reading` how a trace file is
read. The recorder itself is the kernel's. Must never import the kernel or anything above it.
"""
