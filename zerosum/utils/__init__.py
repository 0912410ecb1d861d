"""What every room uses and none owns: errors, files that appear whole, seeds, text, weights, pictures."""
