"""Bills and reports: which days to read, month-to-date figures as days, reconciliation of estimate and bill."""
