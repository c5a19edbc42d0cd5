"""alertd: budget alerts for LLM usage, in money, with how sure they are."""
