"""Network against network: align, merge, follow a path, measure how alike two of them are."""
