"""What may be done to a key, decided purely: the states of an act, the guards, who is to stop. It touches no key."""
