"""What the site has beyond the pages in docs/: tables made from the code, and files of the repository that they link.

A page says where a table belongs with a line ``<!-- made from the code: NAME -->``; `made.py` lists the names. mkdocs
loads `hook.py`, which fills them in. Nothing here is part of the package liteft.
"""
