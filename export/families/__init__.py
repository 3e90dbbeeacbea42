"""One file per family of networks: how its checkpoints are recognised, built and described."""
