"""Networks and heads trained to tell quality: labels, data, losses, loops."""
