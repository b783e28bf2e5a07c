"""Where the numbers come from: the validators and the blockchain statistics, both simulated."""
