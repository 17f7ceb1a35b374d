"""Commands that publish, fetch and pack releases."""
