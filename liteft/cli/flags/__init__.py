"""Every flag of the command line, once: its name, its type, its help, and the panel of the help that shows it.

A flag means the same in every command that has it, and sets the recipe's key of the same name, in the table of the step
that the command runs. What happens when a flag is left out is said here as well: commands differ in defaults alone.

`data`, `models`, `export`, `answers` and `machine` hold the flags, each some panels of the help.
"""
