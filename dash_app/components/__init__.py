"""The parts that pages are made of. They take values and give components; they ask nothing of the snapshot."""
