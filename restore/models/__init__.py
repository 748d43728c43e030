"""Models: recipes, cards, weights, and the files that hold them."""
