"""What two dictionaries have in common: which features of one are found again in the other.

In: decoder rows, and the firings of both on the same tokens. Out: for each feature of one its best
match in the other, by cosine and by correlation, one to one as well; beside them what matching by
chance gives, and shares with intervals. Called by the job that compares; the tree of splitting, in
`splitting`, by the pages that draw it.
"""
