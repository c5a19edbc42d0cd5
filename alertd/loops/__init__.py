"""What runs again and again: collect, judge, deliver, act; each a class whose `tick` is one round."""
