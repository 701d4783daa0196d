"""The text of metrics pages: the grammar of a line, the complete reader, the scanner, the remembered layout."""
