"""Static files of this version and of those before it, from every web that runs."""
