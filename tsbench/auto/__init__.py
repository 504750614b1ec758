"""`auto`: an ensemble over families of classifiers, fitted within a time limit."""
