"""Makes titles out of films: probe, ladder, encode, package, measure, publish, register."""
