"""Parts that screens are made of. They draw what they are given and ask no node anything."""
