"""Reading the user's images, and making grids and plots."""
