"""Artifacts and models of LiteFT in other libraries, each module for one: they need it, and nothing else needs them."""
