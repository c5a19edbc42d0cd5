"""The only files that know what is outside: HTTP, SMTP and Slack clients, the price list of a library, files."""
