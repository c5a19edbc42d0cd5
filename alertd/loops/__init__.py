"""What runs again and again: collect, evaluate, deliver, execute; each a class whose `tick` is one round."""
