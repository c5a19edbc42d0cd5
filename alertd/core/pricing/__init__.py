"""From names and dates to prices: price files, rules, rates of exchange, usage files. Rounds nothing."""
