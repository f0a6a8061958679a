"""The use case feature_risk: labels, inputs and scores."""
