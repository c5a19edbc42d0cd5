"""What sources of records share: which days to read, running figures as days, whose figure counts. Asks nobody."""
