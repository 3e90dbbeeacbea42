"""From a trained network to a checked model package: weights, graph, parity, description."""
