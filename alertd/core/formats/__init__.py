"""Files of usage and cost as people have them: layouts by declaration, numbers and times by the file's own habit."""
