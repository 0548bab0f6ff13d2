"""`watchkeeper demo`: the whole pipeline for a while, with devices whose faults are known."""
