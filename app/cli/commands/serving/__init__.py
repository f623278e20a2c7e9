"""Commands that start a process which answers others: the pages, the worker, the demo."""
