"""Search the settings with which a latent diffusion that is already trained is best, in few network evaluations."""
