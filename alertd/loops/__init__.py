"""What the daemon does again and again: collect, judge, deliver, act. Each loop decides nothing that core can."""
