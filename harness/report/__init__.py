"""What a run leaves behind: the report package, its signature, its pages, and the commands that read them."""
