"""What there is: listing, information and search; none of it imports torch."""
