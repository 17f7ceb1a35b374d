"""Finding models: listing, information and search. None of it imports torch."""
