"""What training steps are made of, whatever the method: optimizers, capture, teachers, mixing, weights."""
