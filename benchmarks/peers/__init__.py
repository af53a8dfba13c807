"""arbkit beside what a user would pick instead: the same feed and the same two-leg logic, in one run."""
