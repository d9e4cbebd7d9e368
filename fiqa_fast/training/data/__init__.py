"""Training sets: readers of their forms, the order of an epoch, augmentation, batches, checks."""
