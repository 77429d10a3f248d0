"""The idea: MixUp, from one look at the call to the mixed sample."""
