"""The durable record of usage as the daemon holds it: columns, blocks, compaction, and an index of labels. Pure."""
