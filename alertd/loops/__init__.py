"""The daemon's loops: collect, evaluate, deliver, execute and others; each is a class whose `tick` is one round."""
