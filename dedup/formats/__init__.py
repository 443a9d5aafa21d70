"""What a file is made of: where its tensors, members, records and pages begin, from its content first.

Used by ingest and by estimates through dedup.formats.segmentation. Parsers believe nothing: whatever they doubt stays
generic, which costs bytes and never correctness.
"""
