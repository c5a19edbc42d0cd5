"""From raw samples of counters to usage: presets, labels, resets, births, buckets. Reads no source."""
