"""The report of a replay: one HTML file that opens offline, without anything from elsewhere."""
