"""Reading the images of users, and drawing grids and plots."""
